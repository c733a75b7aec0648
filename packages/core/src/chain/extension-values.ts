// Readers of the extensions that RFC 5280 §6 processes. Each reads strict DER and returns
// `undefined` for anything else, which refuses the path.

import type { DerElement } from '../certificate/der-elements.js';
import { identifierOf, membersOf, onlyElement, sequenceOf, tags } from '../certificate/der-members.js';
import type { PathCertificate } from './path-certificate.js';

/** The extensions that path validation processes: the content of their object identifiers, in hex. */
export const pathExtensionIds = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  certificatePolicies: '551d20',
  policyMappings: '551d21',
  policyConstraints: '551d24',
  extendedKeyUsage: '551d25',
  inhibitAnyPolicy: '551d36',
} as const;

/** The extension with the URLs of revocation lists. It may be critical: `certificate-status` reads it. */
export const revocationExtensionIds = { distributionPoints: '551d1f' } as const;

/** An extension as it was read: its value, `'missing'`, or `'malformed'`. */
export type ReadExtension<T> = T | 'missing' | 'malformed';

/** Reads an extension of a certificate, if it has it. */
export function extensionOf<T>(
  { extensions }: PathCertificate,
  id: string,
  read: (value: Uint8Array) => T | undefined,
): ReadExtension<T> {
  const extension = extensions.get(id);
  return extension === undefined ? 'missing' : (read(extension.value) ?? 'malformed');
}

/** BasicConstraints (RFC 5280 §4.2.1.9). */
export interface BasicConstraints {
  readonly isAuthority: boolean;
  /** How many authorities may follow that are not self-issued; `undefined`: any number. */
  readonly pathLength: number | undefined;
}

export function readBasicConstraints(value: Uint8Array): BasicConstraints | undefined {
  const members = sequenceOf(value);
  if (members === undefined || members.length > 2) {
    return undefined;
  }
  const hasFlag = members[0]?.tag === tags.boolean;
  const isAuthority = hasFlag ? booleanOf(members[0]) : false;
  const length = hasFlag ? members[1] : members[0];
  const pathLength = length === undefined ? undefined : integerOf(length, tags.integer);
  const isComplete = members.length === (hasFlag ? 1 : 0) + (length === undefined ? 0 : 1);
  if (!isComplete || isAuthority === undefined || (length !== undefined && pathLength === undefined)) {
    return undefined;
  }
  // A path length without the flag means nothing (RFC 5280 §4.2.1.9).
  return { isAuthority, pathLength: isAuthority ? pathLength : undefined };
}

/** The bits of KeyUsage that decide here (RFC 5280 §4.2.1.3). */
export interface KeyUsage {
  readonly digitalSignature: boolean;
  readonly keyAgreement: boolean;
  readonly keyCertSign: boolean;
  readonly cRLSign: boolean;
}

export function readKeyUsage(value: Uint8Array): KeyUsage | undefined {
  const bits = onlyElement(value);
  const [unused = 8, first = 0] = bits?.content ?? [];
  if (bits?.tag !== tags.bitString || unused > 7 || bits.content.length < 1 || bits.content.length > 3) {
    return undefined;
  }
  const has = (bit: number) => (first & (0x80 >> bit)) !== 0;
  return { digitalSignature: has(0), keyAgreement: has(4), keyCertSign: has(5), cRLSign: has(6) };
}

/** ExtendedKeyUsage (RFC 5280 §4.2.1.12): the object identifiers, in hex. */
export function readExtendedKeyUsage(value: Uint8Array): ReadonlySet<string> | undefined {
  const usages = sequenceOf(value)?.map(identifierOf);
  return isCompleteList(usages) ? new Set(usages) : undefined;
}

/** CertificatePolicies (RFC 5280 §4.2.1.4): the object identifiers, in hex, each once. */
export function readCertificatePolicies(value: Uint8Array): ReadonlySet<string> | undefined {
  const policies = sequenceOf(value)?.map((policy) => identifierOf(membersOf(policy, tags.sequence)?.[0]));
  if (!isCompleteList(policies)) {
    return undefined;
  }
  const set = new Set(policies);
  return set.size === policies.length ? set : undefined;
}

/** PolicyMappings (RFC 5280 §4.2.1.5): pairs of the issuer's and the subject's policy, in hex. */
export function readPolicyMappings(value: Uint8Array): readonly (readonly [string, string])[] | undefined {
  const pairs = sequenceOf(value)?.map((mapping): readonly [string, string] | undefined => {
    const [from, to, another] = membersOf(mapping, tags.sequence) ?? [];
    const [fromId, toId] = [identifierOf(from), identifierOf(to)];
    return fromId !== undefined && toId !== undefined && another === undefined ? [fromId, toId] : undefined;
  });
  return isCompleteList(pairs) ? pairs : undefined;
}

/** PolicyConstraints (RFC 5280 §4.2.1.11). */
export interface PolicyConstraints {
  readonly requireExplicitPolicy: number | undefined;
  readonly inhibitPolicyMapping: number | undefined;
}

export function readPolicyConstraints(value: Uint8Array): PolicyConstraints | undefined {
  const members = sequenceOf(value);
  const [explicit, inhibit] = [0x80, 0x81].map((tag) => members?.find((member) => member.tag === tag));
  const known = [explicit, inhibit].filter((member) => member !== undefined);
  const numbers = known.map((member) => integerOf(member, member.tag));
  if (members === undefined || known.length === 0 || known.length !== members.length) {
    return undefined;
  }
  return numbers.includes(undefined)
    ? undefined
    : {
        requireExplicitPolicy: explicit && integerOf(explicit, 0x80),
        inhibitPolicyMapping: inhibit && integerOf(inhibit, 0x81),
      };
}

/** InhibitAnyPolicy (RFC 5280 §4.2.1.14). */
export function readInhibitAnyPolicy(value: Uint8Array): number | undefined {
  const element = onlyElement(value);
  return element && integerOf(element, tags.integer);
}

function booleanOf(element: DerElement | undefined): boolean | undefined {
  const [value, another] = element?.content ?? [];
  return value === undefined || another !== undefined ? undefined : value !== 0;
}

/** A number that is not negative. One of more than four bytes counts as the largest of four. */
function integerOf({ tag, content }: DerElement, expected: number): number | undefined {
  const [first] = content;
  if (tag !== expected || first === undefined || first >= 0x80) {
    return undefined;
  }
  return content.length > 4 ? 0x7fff_ffff : content.reduce((sum, byte) => sum * 256 + byte, 0);
}

/** Whether it is a list with items, each of which could be read. */
function isCompleteList<T>(items: readonly (T | undefined)[] | undefined): items is readonly T[] {
  return items !== undefined && items.length > 0 && !items.includes(undefined);
}
