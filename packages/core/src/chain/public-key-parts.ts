import type { DerElement } from '../certificate/der-elements.js';
import { identifierOf, membersOf, onlyElement, tags } from '../certificate/der-members.js';

/** The content of the object identifier of an RSA key for PSS alone (RFC 4055 §3.1), in hex. */
export const PSS_KEY = '2a864886f70d01010a';

/** By the content of the object identifier, in hex. */
const types: ReadonlyMap<string | undefined, 'rsa' | 'ec' | 'edwards' | 'dsa'> = new Map([
  ['2a864886f70d010101', 'rsa'],
  [PSS_KEY, 'rsa'],
  ['2a8648ce3d0201', 'ec'],
  ['2b6570', 'edwards'],
  ['2b6571', 'edwards'],
  ['2a8648ce380401', 'dsa'],
] as const);

/** A curve that is accepted. */
export interface Curve {
  /** OpenSSL's name of it. */
  readonly name: string;
  /** What decoding a key and verifying a signature cost, in quarters of a millisecond on a core. */
  readonly cost: number;
}

/**
 * The accepted curves, by the content of the object identifier in hex. European PKIs use those of RFC 5639,
 * too.
 */
const curves: ReadonlyMap<string | undefined, Curve> = new Map([
  ['2a8648ce3d030107', { name: 'prime256v1', cost: 1 }],
  ['2b81040022', { name: 'secp384r1', cost: 4 }],
  ['2b81040023', { name: 'secp521r1', cost: 8 }],
  ['2b2403030208010107', { name: 'brainpoolP256r1', cost: 3 }],
  ['2b240303020801010b', { name: 'brainpoolP384r1', cost: 4 }],
  ['2b240303020801010d', { name: 'brainpoolP512r1', cost: 6 }],
]);

/** The first byte of a point on a curve that is written by both coordinates (RFC 5480 §2.2, SEC 1 §2.3.3). */
export const UNCOMPRESSED = 4;

/** A SubjectPublicKeyInfo, by tags and lengths alone. */
export interface PublicKeyParts {
  /** The content of the object identifier of its algorithm, in hex. */
  readonly algorithm: string | undefined;
  readonly type: 'rsa' | 'ec' | 'edwards' | 'dsa' | undefined;
  readonly parameters: DerElement | undefined;
  /** Undefined for a key that is on no accepted curve. */
  readonly curve: Curve | undefined;
  /** Undefined if it is not a whole number of bytes. */
  readonly key: Uint8Array | undefined;
  /** Every element but those within the parameters and the key. */
  readonly elements: readonly DerElement[];
}

/** @param publicKey the DER of the SubjectPublicKeyInfo */
export function readPublicKeyParts(publicKey: Uint8Array): PublicKeyParts {
  const whole = onlyElement(publicKey);
  const members = membersOf(whole, tags.sequence) ?? [];
  const [first, bits] = members;
  const ofAlgorithm = membersOf(first, tags.sequence) ?? [];
  const [id, parameters] = ofAlgorithm;
  const algorithm = identifierOf(id);
  const type = types.get(algorithm);
  const isWhole = bits?.tag === tags.bitString && bits.content[0] === 0;
  return {
    algorithm,
    type,
    parameters,
    curve: type === 'ec' ? curves.get(identifierOf(parameters)) : undefined,
    key: isWhole ? bits.content.subarray(1) : undefined,
    elements: [...(whole === undefined ? [] : [whole]), ...members, ...ofAlgorithm],
  };
}
