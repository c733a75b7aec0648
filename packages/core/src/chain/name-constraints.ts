import { type DerElement, splitDer } from '../certificate/der-elements.js';
import { onlyItem, sequenceOf } from '../certificate/der-members.js';
import {
  directoryElements,
  type GeneralName,
  hostOfMail,
  hostOfUri,
  readGeneralName,
} from './general-names.js';

/** NameConstraints (RFC 5280 §4.2.1.10). */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** `undefined` for constraints that can't be read, or that say nothing. Needs `x509.load()`. */
export function readNameConstraints(value: Uint8Array): NameConstraints | undefined {
  const members = sequenceOf(value);
  const permitted = members?.find(({ tag }) => tag === 0xa0);
  const excluded = members?.find(({ tag }) => tag === 0xa1);
  const known = [permitted, excluded].filter((member) => member !== undefined).length;
  if (members === undefined || known === 0 || known !== members.length) {
    return undefined;
  }
  const lists = [permitted, excluded].map((subtrees) => (subtrees ? readSubtrees(subtrees) : []));
  const [permittedNames, excludedNames] = lists;
  return permittedNames === undefined || excludedNames === undefined
    ? undefined
    : { permitted: permittedNames, excluded: excludedNames };
}

/** Elements of the directory names that `readNameConstraints()` would parse. */
export function constraintElements(value: Uint8Array): number {
  const subtrees = (sequenceOf(value) ?? []).flatMap(({ content }) => splitDer(content) ?? []);
  return directoryElements(subtrees.flatMap(({ whole }) => onlyItem(sequenceOf(whole)) ?? []));
}

/** How many comparisons `explainViolation()` makes at most. A long text counts as several. */
export function countComparisons(
  names: readonly GeneralName[],
  constraints: readonly NameConstraints[],
): number {
  const bases = constraints.reduce(
    (sum, { permitted, excluded }) => sum + weigh(permitted) + weigh(excluded),
    0,
  );
  return weigh(names) * bases;
}

/** Characters that take as long to compare as the rest of one comparison. */
const CHARACTERS = 64;

function weigh(names: readonly GeneralName[]): number {
  return names.reduce((sum, name) => sum + 1 + ('text' in name ? name.text.length / CHARACTERS : 0), 0);
}

/** Each subtree is a base alone: minimum 0 and no maximum are all that RFC 5280 allows. */
function readSubtrees({ content }: DerElement): readonly GeneralName[] | undefined {
  const bases = splitDer(content)?.map(({ whole }) => {
    const base = onlyItem(sequenceOf(whole));
    const name = base && readGeneralName(base);
    return name !== undefined && isBase(name) ? name : undefined;
  });
  return bases !== undefined && bases.length > 0 && bases.every((base) => base !== undefined)
    ? bases
    : undefined;
}

/** Whether a name has the form that the base of a constraint must have. */
function isBase(name: GeneralName): boolean {
  switch (name.kind) {
    case 'dns':
      return name.text === '' || isHost(name.text);
    case 'email':
      return isHostOrDomain(name.text.includes('@') ? (hostOfMail(name.text) ?? '') : name.text);
    case 'uri':
      return isHostOrDomain(name.text);
    case 'ip':
      return (name.bytes.length === 8 || name.bytes.length === 32) && isMask(maskOf(name.bytes));
    default:
      return true;
  }
}

function isHostOrDomain(text: string): boolean {
  return isHost(text.startsWith('.') ? text.slice(1) : text);
}

function isHost(text: string): boolean {
  return /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/.test(text);
}

/** Ones, then zeros (RFC 4632). */
function isMask(mask: Uint8Array): boolean {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits);
}

function maskOf(range: Uint8Array): Uint8Array {
  return range.subarray(range.length / 2);
}

/**
 * Says which name violates the constraints of the path above a certificate (RFC 5280 §6.1.3), or
 * returns `undefined` if none does. Each authority's permitted names must allow it, and none may
 * exclude it.
 */
export function explainViolation(
  names: readonly GeneralName[],
  constraints: readonly NameConstraints[],
): string | undefined {
  for (const name of names) {
    const inAnyCase = ignoringCase(name);
    for (const { permitted, excluded } of constraints) {
      const allowing = permitted.filter((base) => isSameForm(base, name));
      const isPermitted = allowing.length === 0 || allowing.some((base) => isWithin(name, base) === true);
      // What can't be compared is not known to be allowed, and may be excluded.
      const isExcluded = excluded.some(
        (base) => isSameForm(base, name) && isWithin(inAnyCase, ignoringCase(base)) !== false,
      );
      if (!isPermitted || isExcluded) {
        return `its ${describe(name)} violates a name constraint`;
      }
    }
  }
  return undefined;
}

function describe({ kind }: GeneralName): string {
  return {
    email: 'mail address',
    dns: 'DNS name',
    uri: 'URI',
    ip: 'IP address',
    directory: 'subject',
    other: 'name',
  }[kind];
}

function isSameForm(a: GeneralName, b: GeneralName): boolean {
  return a.kind === 'other' || b.kind === 'other'
    ? 'tag' in a && 'tag' in b && a.tag === b.tag
    : a.kind === b.kind;
}

/** Whether a name is in the subtree of a base; `undefined` if the two can't be compared. */
function isWithin(name: GeneralName, base: GeneralName): boolean | undefined {
  if (name.kind === 'dns' && base.kind === 'dns') {
    return isDnsWithin(name.text.toLowerCase(), base.text.toLowerCase());
  }
  if (name.kind === 'email' && base.kind === 'email') {
    return isMailWithin(name.text, base.text);
  }
  if (name.kind === 'uri' && base.kind === 'uri') {
    const host = hostOfUri(name.text);
    return host === undefined ? undefined : isHostWithin(host, base.text.toLowerCase());
  }
  if (name.kind === 'ip' && base.kind === 'ip') {
    return isAddressWithin(name.bytes, base.bytes);
  }
  if (name.kind === 'directory' && base.kind === 'directory') {
    return base.relativeNames.every((relative, at) => name.relativeNames[at] === relative);
  }
  return undefined;
}

/**
 * The case of a mail address's local part may count (RFC 5280 §7.5), and most hosts ignore it: an
 * exclusion is not escaped by capitals.
 */
function ignoringCase(name: GeneralName): GeneralName {
  return name.kind === 'email' ? { kind: 'email', text: name.text.toLowerCase() } : name;
}

/**
 * Labels may be added on the left. Returns `undefined` for a wildcard with names inside and outside the
 * base, as `*.example.com` has for the base `a.example.com`.
 */
function isDnsWithin(name: string, base: string): boolean | undefined {
  if (base === '' || name === base || name.endsWith(`.${base}`)) {
    return true;
  }
  const parent = name.startsWith('*.') ? name.slice(1) : undefined;
  return parent !== undefined && base.endsWith(parent) ? undefined : false;
}

/** A base is one address, all of a host, or, with a dot in front, all hosts of a domain. */
function isMailWithin(address: string, base: string): boolean | undefined {
  const host = /^[\x21-\x7e]+$/.test(address) ? hostOfMail(address) : undefined;
  if (host === undefined) {
    return undefined;
  }
  const local = address.slice(0, address.lastIndexOf('@'));
  return base.includes('@')
    ? local === base.slice(0, base.lastIndexOf('@')) && host === hostOfMail(base)
    : isHostWithin(host, base.toLowerCase());
}

/** A base with a dot in front is a domain's hosts, without the domain itself; else it is one host. */
function isHostWithin(host: string, base: string): boolean {
  return base.startsWith('.') ? host.endsWith(base) : host === base;
}

function isAddressWithin(address: Uint8Array, range: Uint8Array): boolean | undefined {
  if (address.length !== 4 && address.length !== 16) {
    return undefined;
  }
  const mask = maskOf(range);
  if (address.length !== mask.length) {
    return false;
  }
  for (const [at, bits] of mask.entries()) {
    if (((address[at] ?? 0) & bits) !== ((range[at] ?? 0) & bits)) {
      return false;
    }
  }
  return true;
}
