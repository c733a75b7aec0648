import type { ProofReader } from '../dpop/proof.js';
import { RequestRefused } from '../errors.js';
import { sha256Text } from '../shared/option-rules.js';
import type { ConfirmationMethod } from './confirmation-method.js';

/**
 * Makes the method that binds a token to a key: the request has a DPoP proof that this key has signed
 * (RFC 9449 §6.1 and §7.1).
 */
export function createKeyMethod({ checkSignature }: Pick<ProofReader, 'checkSignature'>): ConfirmationMethod {
  return Object.freeze({
    member: 'jkt',
    verifyPossession(expected, { proof }) {
      if (typeof expected !== 'string' || !sha256Text.test(expected)) {
        throw new RequestRefused('token_bound_otherwise', {
          detail: 'jkt in cnf is no SHA-256 in base64url',
        });
      }
      if (proof === undefined) {
        throw new RequestRefused('dpop_scheme_missing', {
          detail: 'cnf has jkt, and the request has the scheme Bearer',
        });
      }
      if (expected !== proof.key.jkt) {
        throw new RequestRefused('dpop_key_mismatch', {
          detail: `the token is bound to the key ${expected}, the proof is by ${proof.key.jkt}`,
        });
      }
      checkSignature(proof);
    },
  } satisfies ConfirmationMethod);
}
