import { constants, type VerifyKeyObjectInput } from 'node:crypto';
import { identifierOf, onlyElement, sequenceOf, tags } from '../certificate/der-members.js';

/** How a signature is verified. */
export interface SignatureMethod {
  /** The types of key that it fits, in the words of Node. */
  readonly keys: readonly string[];
  readonly hash: string | null;
  readonly pss?: Pick<VerifyKeyObjectInput, 'padding' | 'saltLength'>;
}

const rsa = ['rsa'];
const ec = ['ec'];

/** By the content of the object identifier, in hex. No SHA-1 and no MD5: these can be forged. */
const methods: ReadonlyMap<string, SignatureMethod> = new Map<string, SignatureMethod>([
  ['2a864886f70d01010b', { keys: rsa, hash: 'sha256' }],
  ['2a864886f70d01010c', { keys: rsa, hash: 'sha384' }],
  ['2a864886f70d01010d', { keys: rsa, hash: 'sha512' }],
  ['2a8648ce3d040302', { keys: ec, hash: 'sha256' }],
  ['2a8648ce3d040303', { keys: ec, hash: 'sha384' }],
  ['2a8648ce3d040304', { keys: ec, hash: 'sha512' }],
  ['2b6570', { keys: ['ed25519'], hash: null }],
  ['2b6571', { keys: ['ed448'], hash: null }],
]);

const pssId = '2a864886f70d01010a';
const mgf1Id = '2a864886f70d010108';

const hashes: ReadonlyMap<string, string> = new Map([
  ['608648016503040201', 'sha256'],
  ['608648016503040202', 'sha384'],
  ['608648016503040203', 'sha512'],
]);

/**
 * Finds the method of an accepted algorithm; `undefined` for any other.
 *
 * @param algorithm the DER of the AlgorithmIdentifier
 */
export function findSignatureMethod(algorithm: Uint8Array): SignatureMethod | undefined {
  const members = sequenceOf(algorithm);
  const id = identifierOf(members?.[0]);
  return id === pssId ? pssMethod(members?.[1]?.whole) : methods.get(id ?? '');
}

/** RFC 4055 §3.1. Other hashes and salts than those written there are possible; SHA-1 is refused. */
function pssMethod(parameters: Uint8Array | undefined): SignatureMethod | undefined {
  const [hash, mask, salt, ...others] = sequenceOf(parameters) ?? [];
  const hashName = hashOf(hash?.tag === 0xa0 ? hash.content : undefined);
  const generator = sequenceOf(mask?.tag === 0xa1 ? mask.content : undefined);
  const maskHash = identifierOf(generator?.[0]) === mgf1Id ? hashOf(generator?.[1]?.whole) : undefined;
  const length = onlyElement(salt?.tag === 0xa2 ? salt.content : undefined);
  if (
    hashName === undefined ||
    maskHash !== hashName ||
    length?.tag !== tags.integer ||
    length.content.length !== 1 ||
    others.length > 0
  ) {
    return undefined;
  }
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: length.content[0] ?? 0 };
  return { keys: ['rsa', 'rsa-pss'], hash: hashName, pss };
}

function hashOf(algorithm: Uint8Array | undefined): string | undefined {
  return hashes.get(identifierOf(sequenceOf(algorithm)?.[0]) ?? '');
}
