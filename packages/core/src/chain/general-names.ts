import { isIP } from 'node:net';
import type { DerElement } from '../certificate/der-elements.js';
import { onlyElement, sequenceOf } from '../certificate/der-members.js';
import { attributeOid } from '../certificate/distinguished-name.js';
import { x509Library } from '../certificate/lazy-x509.js';
import { explainTooCostly, measureParsingCost } from '../certificate/parsing-cost.js';
import { comparableName } from './path-certificate.js';

/** A name of a subject, or the base of a name constraint (RFC 5280 §4.2.1.6, §4.2.1.10). */
export type GeneralName =
  | { readonly kind: 'email' | 'dns' | 'uri'; readonly text: string }
  | { readonly kind: 'ip'; readonly bytes: Uint8Array }
  /** A directory name, as the texts of its relative names in their order. */
  | { readonly kind: 'directory'; readonly relativeNames: readonly string[] }
  /** A form that no constraint can be compared with here; its tag. */
  | { readonly kind: 'other'; readonly tag: number };

const DIRECTORY_NAME = 0xa4;

const texts: ReadonlyMap<number, 'email' | 'dns' | 'uri'> = new Map([
  [0x81, 'email'],
  [0x82, 'dns'],
  [0x86, 'uri'],
]);

/**
 * The tags of otherName, x400Address, ediPartyName and registeredID in DER. BER allows a second tag for
 * the forms that are texts. OpenSSL reads a DNS name with that tag, but no constraint here would be
 * compared with it: so a name with any other tag can't be read.
 */
const otherForms: ReadonlySet<number> = new Set([0xa0, 0xa3, 0xa5, 0x88]);

/** The names of a SubjectAltName. `undefined` if they can't be read. Needs `x509.load()`. */
export function readAlternativeNames(value: Uint8Array): readonly GeneralName[] | undefined {
  const elements = sequenceOf(value) ?? [];
  const directories = elements.filter(({ tag }) => tag === DIRECTORY_NAME);
  if (explainTooCostly(directories.map(({ content }) => measureParsingCost(content))) !== undefined) {
    return undefined;
  }
  const names = elements.map(readGeneralName);
  return names.length > 0 && names.every((name) => name !== undefined) ? names : undefined;
}

/** Elements of the directory names among these names: nothing else of them is parsed by a library. */
export function directoryElements(names: readonly DerElement[]): number {
  return names
    .filter(({ tag }) => tag === DIRECTORY_NAME)
    .reduce((sum, { content }) => sum + measureParsingCost(content).elements, 0);
}

/** `undefined` for a name that can't be read. Needs `x509.load()`. */
export function readGeneralName({ tag, content }: DerElement): GeneralName | undefined {
  const kind = texts.get(tag);
  if (kind !== undefined) {
    // IA5String: each byte is a character of ASCII.
    return content.every((byte) => byte > 0x20 && byte < 0x7f)
      ? { kind, text: Buffer.from(content).toString('latin1') }
      : undefined;
  }
  if (tag === 0x87) {
    return { kind: 'ip', bytes: content };
  }
  if (tag === DIRECTORY_NAME) {
    return readDirectoryName(onlyElement(content)?.whole);
  }
  return otherForms.has(tag) ? { kind: 'other', tag } : undefined;
}

/** A name as a directory name. `undefined` if it can't be read. Needs `x509.load()`. */
export function readDirectoryName(name: Uint8Array | undefined): GeneralName | undefined {
  const cost = measureParsingCost(name ?? new Uint8Array());
  if ((cost.why ?? explainTooCostly([cost])) !== undefined) {
    return undefined;
  }
  try {
    const relativeNames: unknown[] = JSON.parse(comparableName(name ?? new Uint8Array()));
    return { kind: 'directory', relativeNames: relativeNames.map((relative) => JSON.stringify(relative)) };
  } catch {
    return undefined;
  }
}

const mailAddress = '1.2.840.113549.1.9.1';

/**
 * The mail addresses of a name, as they are written: the case of a local part may count.
 * `undefined` if the name can't be read. Needs `x509.load()`.
 */
export function mailAddressesIn(name: Uint8Array): GeneralName[] | undefined {
  try {
    return new (x509Library().Name)(name)
      .toJSON()
      .flatMap((relative) => Object.entries(relative))
      .filter(([type]) => attributeOid(type) === mailAddress)
      .flatMap(([, values]) => values.map((text): GeneralName => ({ kind: 'email', text: text.trim() })));
  } catch {
    return undefined;
  }
}

/** The host of a mail address, in lower case. */
export function hostOfMail(address: string): string | undefined {
  const at = address.lastIndexOf('@');
  return at > 0 && at < address.length - 1 ? address.slice(at + 1).toLowerCase() : undefined;
}

/** The host of a URI, in lower case, if it is a name: an address or nothing is none. */
export function hostOfUri(uri: string): string | undefined {
  const authority = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^@/?#\\]*@)?([A-Za-z0-9._-]+)(?::\d*)?(?:[/?#]|$)/.exec(
    uri,
  );
  const host = authority?.[1]?.toLowerCase();
  return host === undefined || isIP(host) !== 0 ? undefined : host;
}
