import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { explainUnacceptedIssuerKey } from '../chain/key-rules.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { PSS_KEY, readPublicKeyParts } from '../chain/public-key-parts.js';
import { findSignatureMethod } from '../chain/signature-methods.js';
import type { StatusReason } from './status-reason.js';

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
  signer: PathCertificate,
): Promise<StatusReason | undefined> {
  const method = findSignatureMethod(algorithm);
  if (method === undefined) {
    return { code: 'unreadable', why: 'its signature algorithm is not accepted' };
  }
  const key = publicKeyOf(signer);
  if (key === undefined) {
    return { code: 'wrong_signer', why: 'the key of its signer can not be read' };
  }
  if (!method.keys.includes(key.asymmetricKeyType ?? '')) {
    return { code: 'unreadable', why: 'its signature algorithm does not fit the key' };
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
  return isRight ? undefined : { code: 'wrong_signer', why: 'its signature is wrong' };
}

const rsaKeys = new WeakMap<PathCertificate, KeyObject>();

/**
 * An authority that certifies the RSA key of another one may write it as a key for PSS alone, with any hash
 * and salt. What the other one signs with this key counts all the same: it must not be hidden so.
 */
function publicKeyOf(signer: PathCertificate): KeyObject | undefined {
  try {
    if (explainUnacceptedIssuerKey(signer.publicKey) !== undefined) {
      return undefined;
    }
    const { algorithm, key } = readPublicKeyParts(signer.publicKey);
    if (algorithm !== PSS_KEY || key === undefined) {
      return signer.x509.publicKey;
    }
    const known = rsaKeys.get(signer);
    const rsaKey = known ?? createPublicKey({ key: Buffer.from(key), format: 'der', type: 'pkcs1' });
    rsaKeys.set(signer, rsaKey);
    return rsaKey;
  } catch {
    return undefined;
  }
}
