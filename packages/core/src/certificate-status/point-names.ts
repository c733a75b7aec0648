import type { DerElement } from '../certificate/der-elements.js';
import { splitDer } from '../certificate/der-elements.js';
import { membersOf, onlyElement, sequenceOf, tags } from '../certificate/der-members.js';

const DIRECTORY_NAME = 0xa4;
const URI = 0x86;

const FULL_NAME = 0xa0;
const RELATIVE_NAME = 0xa1;

/** The names of a distribution point. */
export interface PointNames {
  /** One text for each name, to compare names by. */
  readonly comparable: readonly string[];
  /** Those that are URIs. */
  readonly uris: readonly string[];
}

/** A directory name as `PointNames.comparable` holds it. `undefined` for what is no name. */
export function comparableDirectoryName(name: Uint8Array): string | undefined {
  const sequence = onlyElement(name);
  return sequence?.tag === tags.sequence ? `name ${hex(sequence.content)}` : undefined;
}

/**
 * Reads the DER of DistributionPointName (RFC 5280 §4.2.1.13). `undefined` for what is none.
 *
 * @param issuer the DER of the name that a relative name continues
 */
export function readPointNames(der: Uint8Array, issuer: Uint8Array): PointNames | undefined {
  const choice = onlyElement(der);
  const members = choice && splitDer(choice.content);
  if (members === undefined || members.length === 0) {
    return undefined;
  }
  if (choice?.tag === RELATIVE_NAME) {
    const base = onlyElement(issuer);
    return base === undefined
      ? undefined
      : { comparable: [`name ${hex(base.content)}${hex(asSet(choice))}`], uris: [] };
  }
  if (choice?.tag !== FULL_NAME) {
    return undefined;
  }
  const comparable = members.map(comparableName).filter((name) => name !== undefined);
  return { comparable, uris: urisAmong(members) };
}

/** The URIs among general names (RFC 5280 §4.2.1.6). */
export function urisAmong(names: readonly DerElement[]): readonly string[] {
  return names.filter(({ tag }) => tag === URI).map(({ content }) => Buffer.from(content).toString('latin1'));
}

function comparableName({ tag, content, whole }: DerElement): string | undefined {
  return tag === DIRECTORY_NAME ? comparableDirectoryName(content) : hex(whole);
}

/** A relative name is a set under an implicit tag; in a full name the same set has its own tag. */
function asSet({ whole }: DerElement): Uint8Array {
  const copy = Buffer.from(whole);
  copy[0] = tags.set;
  return copy;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** The OCSP responders that a certificate names (RFC 5280 §4.2.2.1), from the value of the extension. */
export function readResponders(value: Uint8Array): readonly string[] {
  const descriptions = sequenceOf(value) ?? [];
  return descriptions.flatMap((description) => {
    const [method, location] = membersOf(description, tags.sequence) ?? [];
    const isOcsp = method?.tag === tags.objectIdentifier && hex(method.content) === '2b06010505073001';
    return isOcsp && location !== undefined ? urisAmong([location]) : [];
  });
}
