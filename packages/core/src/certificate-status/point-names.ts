import { createHash, type Hash } from 'node:crypto';
import type { DerElement } from '../certificate/der-elements.js';
import { splitDer } from '../certificate/der-elements.js';
import { membersOf, onlyElement, sequenceOf, tags } from '../certificate/der-members.js';

const DIRECTORY_NAME = 0xa4;
const URI = 0x86;

const FULL_NAME = 0xa0;
const RELATIVE_NAME = 0xa1;

/**
 * How many names are read: of all distribution points of a certificate, or of the single point of a list.
 * Certificates in use have two.
 */
export const MAX_POINT_NAMES = 32;

/** The names of a distribution point. */
export interface PointNames {
  /** A key of fixed size for each name, to compare names by. */
  readonly keys: readonly string[];
  /** Those that are URIs. */
  readonly uris: readonly string[];
}

/** A directory name as `PointNames.keys` holds it. `undefined` for what is no name. */
export function keyOfDirectoryName(name: Uint8Array): string | undefined {
  const sequence = onlyElement(name);
  return sequence?.tag === tags.sequence ? finish(beginDirectoryName(sequence.content)) : undefined;
}

/** Reads the names of all distribution points of a certificate, or of the single point of a list. */
export class PointNameReader {
  readonly #issuer: Uint8Array;
  #count = 0;
  /** Of the issuer's name, which each relative name continues. */
  #base: Hash | undefined;

  /** @param issuer the DER of the issuer's name */
  constructor(issuer: Uint8Array) {
    this.#issuer = issuer;
  }

  /** Whether there were more than `MAX_POINT_NAMES`. The further ones are not read. */
  get hasTooManyNames(): boolean {
    return this.#count > MAX_POINT_NAMES;
  }

  /** Reads the DER of DistributionPointName (RFC 5280 §4.2.1.13). `undefined` for what is none. */
  read(der: Uint8Array): PointNames | undefined {
    const choice = onlyElement(der);
    const members = choice && splitDer(choice.content);
    if (members === undefined || members.length === 0) {
      return undefined;
    }
    if (choice?.tag === RELATIVE_NAME) {
      const [relative] = this.#take([choice]);
      const key = relative && this.#keyOfRelativeName(relative);
      return relative !== undefined && key === undefined
        ? undefined
        : { keys: key === undefined ? [] : [key], uris: [] };
    }
    if (choice?.tag !== FULL_NAME) {
      return undefined;
    }
    const names = this.#take(members);
    return { keys: names.map(keyOfName).filter((key) => key !== undefined), uris: urisAmong(names) };
  }

  #take(names: readonly DerElement[]): readonly DerElement[] {
    const taken = names.slice(0, Math.max(0, MAX_POINT_NAMES - this.#count));
    this.#count += names.length;
    return taken;
  }

  #keyOfRelativeName(name: DerElement): string | undefined {
    const base = this.#base ?? onlyElement(this.#issuer);
    if (base === undefined) {
      return undefined;
    }
    this.#base = 'content' in base ? beginDirectoryName(base.content) : base;
    return finish(this.#base.copy().update(asSet(name)));
  }
}

/** The URIs among general names (RFC 5280 §4.2.1.6). */
export function urisAmong(names: readonly DerElement[]): readonly string[] {
  return names.filter(({ tag }) => tag === URI).map(({ content }) => Buffer.from(content).toString('latin1'));
}

function keyOfName({ tag, content, whole }: DerElement): string | undefined {
  return tag === DIRECTORY_NAME ? keyOfDirectoryName(content) : finish(createHash('sha256').update(whole));
}

/** Begins with the tag, as does what is hashed of the other names: no two kinds have one key. */
function beginDirectoryName(content: Uint8Array): Hash {
  return createHash('sha256').update(Uint8Array.of(DIRECTORY_NAME)).update(content);
}

function finish(hash: Hash): string {
  return hash.digest('base64url');
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
