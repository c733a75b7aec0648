import {
  constants,
  type KeyObject,
  type VerifyKeyObjectInput,
  verify,
  type X509Certificate,
} from 'node:crypto';
import { derElements } from '../certificate/der-elements.js';
import { identifierOf, membersOf, onlyElement, sequenceOf, tags } from '../certificate/der-members.js';
import type { PathCertificate } from '../chain/path-certificate.js';

interface Method {
  /** The type of the key in the words of Node. */
  readonly keys: readonly string[];
  readonly hash: string | null;
  readonly pss?: Pick<VerifyKeyObjectInput, 'padding' | 'saltLength'>;
}

const rsa = ['rsa'];
const ec = ['ec'];

/** By the content of the object identifier, in hex. No SHA-1 and no MD5: these can be forged. */
const methods: ReadonlyMap<string, Method> = new Map<string, Method>([
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
 * Resolves with why a signature is not accepted, or with `undefined` if it is right. Never rejects.
 * A thread of Node's computes: a list may have several megabytes.
 *
 * @param algorithm the DER of the AlgorithmIdentifier
 */
export async function explainBadSignature(
  algorithm: Uint8Array,
  signed: Uint8Array,
  signature: Uint8Array,
  { x509 }: PathCertificate,
): Promise<string | undefined> {
  const method = methodOf(algorithm);
  if (method === undefined) {
    return 'its signature algorithm is not accepted';
  }
  const key = publicKeyOf(x509);
  if (key === undefined) {
    return 'the key of its signer can not be read';
  }
  if (!method.keys.includes(key.asymmetricKeyType ?? '')) {
    return 'its signature algorithm does not fit the key';
  }
  const { hash, pss } = method;
  const isRight = await new Promise<boolean>((resolve) => {
    try {
      verify(hash, signed, pss === undefined ? key : { key, ...pss }, signature, (error, result) =>
        resolve(error === null && result === true),
      );
    } catch {
      resolve(false);
    }
  });
  return isRight ? undefined : 'its signature is wrong';
}

function publicKeyOf(x509: X509Certificate): KeyObject | undefined {
  try {
    return x509.publicKey;
  } catch {
    return undefined;
  }
}

function methodOf(algorithm: Uint8Array): Method | undefined {
  const members = sequenceOf(algorithm);
  const id = identifierOf(members?.[0]);
  return id === pssId ? pssMethod(members?.[1]?.whole) : methods.get(id ?? '');
}

/** RFC 4055 §3.1. Other hashes and salts than those written there are possible; SHA-1 is refused. */
function pssMethod(parameters: Uint8Array | undefined): Method | undefined {
  const members = sequenceOf(parameters) ?? [];
  const [hash, mask, salt, ...others] = members;
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
  const [sequence] = (algorithm && derElements(algorithm)) ?? [];
  return hashes.get(identifierOf(membersOf(sequence, tags.sequence)?.[0]) ?? '');
}
