// A token that is bound to a key, to a certificate or to both: each must be proven, and no proof stands for another.
import { describe, expect, it } from 'vitest';
import { checkBinding } from '../../../packages/core/src/confirmation/binding.js';
import { certificateMethod } from '../../../packages/core/src/confirmation/certificate-method.js';
import type { Possession } from '../../../packages/core/src/confirmation/confirmation-method.js';
import { createKeyMethod } from '../../../packages/core/src/confirmation/key-method.js';
import type { DpopProof } from '../../../packages/core/src/dpop/proof.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';

const thumbprint = 'c'.repeat(43);
const jkt = 'k'.repeat(43);
const proofBy = (key: string, isSigned = true): DpopProof => ({ key: { jkt: key }, isSigned }) as never;

/** `accepted`, or the refusal. */
function outcome(
  cnf: unknown,
  possession: Partial<Possession>,
  binding: 'required' | 'when-bound' = 'required',
): string {
  const checked: unknown[] = [];
  const method = createKeyMethod({
    checkSignature(proof) {
      checked.push(proof);
      if (!(proof as unknown as { isSigned: boolean }).isSigned) {
        throw new RequestRefused('dpop_signature_invalid');
      }
    },
  });
  try {
    checkBinding(
      cnf,
      { thumbprint: undefined, proof: undefined, ...possession },
      { binding, methods: [certificateMethod, method] },
    );
    // No proof counts whose signature was not checked.
    return possession.proof === undefined || checked.includes(possession.proof) ? 'accepted' : 'unchecked';
  } catch (thrown) {
    if (!RequestRefused.isRefusal(thrown)) {
      throw thrown;
    }
    return thrown.message;
  }
}

const mismatch = (other: string): string =>
  `dpop_key_mismatch: the token is bound to the key ${jkt}, the proof is by ${other}`;
const bearer = 'dpop_scheme_missing: cnf has jkt, and the request has the scheme Bearer';
const unbound = 'dpop_token_unbound: the request has the scheme DPoP, and cnf of the token has no jkt';
const noThumbprint = 'token_bound_otherwise: jkt in cnf is no SHA-256 in base64url';
const both = { 'x5t#S256': thumbprint, jkt };
const other = 'o'.repeat(43);

describe('what a request must show', () => {
  it.each<[string, unknown, Partial<Possession>, string]>([
    ['a key: its proof', { jkt }, { proof: proofBy(jkt) }, 'accepted'],
    [
      'a key: a proof, whatever the certificate',
      { jkt },
      { proof: proofBy(jkt), thumbprint: other },
      'accepted',
    ],
    ['a key: not the certificate alone', { jkt }, { thumbprint }, bearer],
    ['a key: not nothing', { jkt }, {}, bearer],
    ['a key: not the proof of another', { jkt }, { proof: proofBy(other) }, mismatch(other)],
    [
      'a key: not a proof that it did not sign',
      { jkt },
      { proof: proofBy(jkt, false) },
      'dpop_signature_invalid',
    ],
    ['a certificate: it', { 'x5t#S256': thumbprint }, { thumbprint }, 'accepted'],
    [
      'a certificate: no proof with it',
      { 'x5t#S256': thumbprint },
      { thumbprint, proof: proofBy(jkt) },
      unbound,
    ],
    ['a certificate: no proof in its place', { 'x5t#S256': thumbprint }, { proof: proofBy(jkt) }, unbound],
    ['both: both', both, { thumbprint, proof: proofBy(jkt) }, 'accepted'],
    ['both: not the certificate alone', both, { thumbprint }, bearer],
    ['both: not the proof alone', both, { proof: proofBy(jkt) }, 'certificate_missing'],
    [
      'both: not another certificate',
      both,
      { thumbprint: other, proof: proofBy(jkt) },
      'certificate_mismatch',
    ],
    ['both: not the proof of another key', both, { thumbprint, proof: proofBy(other) }, mismatch(other)],
    [
      'both: not a proof that is not signed',
      both,
      { thumbprint, proof: proofBy(jkt, false) },
      'dpop_signature_invalid',
    ],
    ['nothing: no proof', undefined, { thumbprint, proof: proofBy(jkt) }, unbound],
    ['nothing: nothing counts', undefined, { thumbprint }, 'token_unbound'],
    [
      'what is no cnf',
      'text',
      { proof: proofBy(jkt) },
      'token_bound_otherwise: cnf is of type string, not an object with x5t#S256 or jkt',
    ],
    [
      'no known method',
      { foo: 'bar' },
      { proof: proofBy(jkt) },
      'token_bound_otherwise: cnf has no x5t#S256 and no jkt',
    ],
    [
      'another method',
      { jwk: {} },
      { proof: proofBy(jkt) },
      'token_bound_otherwise: cnf has jwk, and no x5t#S256 and no jkt',
    ],
    [
      'a key and another method',
      { jkt, kid: 'a' },
      { proof: proofBy(jkt) },
      'token_bound_otherwise: cnf has kid next to jkt',
    ],
    [
      'both and another method',
      { ...both, jwe: {} },
      { thumbprint, proof: proofBy(jkt) },
      'token_bound_otherwise: cnf has jwe next to x5t#S256 and jkt',
    ],
    ['a key and an unknown member', { jkt, foo: 'bar' }, { proof: proofBy(jkt) }, 'accepted'],
    ['a key that is no text', { jkt: 1 }, { proof: proofBy(jkt) }, noThumbprint],
    ['a list of the key', { jkt: [jkt] }, { proof: proofBy(jkt) }, noThumbprint],
    ['a key that is null', { jkt: null }, { proof: proofBy(jkt) }, noThumbprint],
    ['a key that is null, under Bearer', { jkt: null }, {}, noThumbprint],
    ['a certificate and a key that is null', { ...both, jkt: null }, { thumbprint }, noThumbprint],
    [
      'a key and a certificate that is null',
      { ...both, 'x5t#S256': null },
      { proof: proofBy(jkt) },
      'token_bound_otherwise: x5t#S256 in cnf is null: the authorization server wrote no thumbprint',
    ],
    [
      'both and another method that is null',
      { ...both, kid: null },
      { thumbprint, proof: proofBy(jkt) },
      'token_bound_otherwise: cnf has kid next to x5t#S256 and jkt',
    ],
    ['a key that is too short', { jkt: 'k' }, { proof: proofBy('k') }, noThumbprint],
    ['a key and more', { jkt: `${jkt}=` }, { proof: proofBy(`${jkt}=`) }, noThumbprint],
  ])('for a token that is bound to %s', (_, cnf, possession, expected) => {
    expect(outcome(cnf, possession)).toBe(expected);
  });

  it('binding: when-bound accepts a token that is bound to nothing under Bearer, and a proof of no key never', () => {
    expect(outcome(undefined, {}, 'when-bound')).toBe('accepted');
    expect(outcome(undefined, { proof: proofBy(jkt) }, 'when-bound')).toBe(unbound);
    expect(outcome({ jkt }, {}, 'when-bound')).toBe(bearer);
  });

  it('without DPoP a token with a key is refused, with the certificate too', () => {
    const rules = { binding: 'required', methods: [certificateMethod] } as const;
    expect(() => checkBinding(both, { thumbprint, proof: undefined }, rules)).toThrow(
      'token_bound_otherwise: cnf has jkt next to x5t#S256',
    );
  });
});
