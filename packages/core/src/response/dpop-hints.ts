import type { BindingReasonCode } from '../confirmation/binding.js';
import type { ProofReasonCode } from '../dpop/proof.js';
import { type RefusalCode, type RequestRefused, reasonCodeOf } from '../errors.js';
import { hasDpopScheme } from '../request/credentials.js';
import type { NodeRequest } from '../request/node-request.js';
import type { Hint } from '../shared/hint.js';
import type { TypeReasonCode } from '../token/claims-check.js';

const dpopOff: Hint = {
  code: 'dpop_off',
  text:
    'the client uses DPoP (RFC 9449), and this API does not accept the scheme DPoP: set the option ' +
    'dpop, or let the client get and send tokens with its certificate',
};

const bearerScheme: Hint = {
  code: 'dpop_token_under_bearer',
  text:
    'a client that uses DPoP must send its token with the scheme DPoP and a proof, because the ' +
    'authorization server bound the token to a key. A thief who has the token alone can not',
};

/** The refusals that have one likely cause each. */
const byCode: Partial<Record<RefusalCode, Hint>> = Object.freeze({
  dpop_scheme_missing: bearerScheme,
  dpop_token_unbound: {
    code: 'dpop_token_without_key',
    text:
      'the authorization server issued the token without cnf.jkt: the client sent no proof to the ' +
      'token endpoint, or the server does not support DPoP',
  },
  dpop_key_mismatch: {
    code: 'dpop_key_replaced',
    text:
      'the client made a new key after it got the token, and must get a new token with it; or the ' +
      'token was taken from another client',
  },
  dpop_proof_missing: {
    code: 'dpop_proof_not_sent',
    text: 'the client sends no header DPoP, or a proxy removes the header',
  },
  dpop_proof_repeated: {
    code: 'dpop_proof_sent_twice',
    text: 'the client, or a proxy, adds a second header DPoP',
  },
  dpop_proof_untimely: {
    code: 'dpop_clock',
    text:
      'the clock of the client or of this API is wrong, or the client made the proof in advance: set the ' +
      'clocks by NTP, or demand nonces by dpop.nonce',
  },
  dpop_nonce_required: {
    code: 'dpop_nonce_first',
    text:
      'a client gets its first nonce by this answer and repeats the request with it. If it does not, ' +
      'its library does not support nonces, or a browser may not read the header DPoP-Nonce',
  },
  dpop_signature_invalid: {
    code: 'dpop_wrong_signer',
    text: 'the client signs with another key than that of jwk, or writes an ECDSA signature as DER',
  },
  dpop_proof_replayed: {
    code: 'dpop_proof_reused',
    text:
      'the client, or a proxy that repeats requests, sends one proof twice; or the proof was taken ' +
      'from another client',
  },
});

/** Of `dpop_proof_malformed` and `dpop_proof_for_another`, by what is wrong with the proof. */
const byReason: Readonly<Record<ProofReasonCode, Hint>> = Object.freeze({
  no_htu: {
    code: 'dpop_claim_missing',
    text: 'the client writes no htu: the URL of the request without query',
  },
  other_htu: {
    code: 'dpop_other_url',
    text:
      'if the client uses the right URL, name its origin in dpop.origin, and what a proxy cuts off its ' +
      'path in dpop.pathPrefix',
  },
  other_htm: {
    code: 'dpop_other_method',
    text: 'the client made the proof for another method: make one per request',
  },
  other_token: {
    code: 'dpop_other_token',
    text: 'the client made the proof for the token endpoint, or for another access token',
  },
  not_one_jwt: {
    code: 'dpop_not_one_jwt',
    text:
      'the client must send one signed JWT in the header DPoP, and nothing else: header, claims and ' +
      'signature, each in base64url without padding (RFC 7515 §7.1)',
  },
  other_typ: {
    code: 'dpop_not_a_proof',
    text:
      'the client sends another JWT in the header DPoP, such as its access token or its client ' +
      'assertion, or leaves typ out: the header of a proof has typ dpop+jwt',
  },
  other_algorithm: {
    code: 'dpop_algorithm_not_accepted',
    text:
      'the client must sign with an algorithm that the challenge names in algs; or add its algorithm to ' +
      'dpop.algorithms',
  },
  critical_extension: {
    code: 'dpop_extension',
    text: 'the client must leave crit out of the header of the proof',
  },
  private_key: {
    code: 'dpop_private_key_sent',
    text:
      'the client sends its private key: it must write the public key into jwk, and make a new key, ' +
      'because it has shown this one',
  },
  unfit_key: {
    code: 'dpop_key_unfit',
    text:
      'the client must write the public key that fits alg into the header, as the object jwk: EC with ' +
      'P-256 for ES256, RSA of 2,048 to 8,192 bits with an exponent below 2^32 for PS256 and RS256, ' +
      'OKP with Ed25519 for EdDSA. Its numbers are base64url without padding. If it has use, ' +
      'key_ops or alg, they must fit',
  },
  malformed_claim: {
    code: 'dpop_claim_malformed',
    text:
      'the client must write jti as a text that is new for each proof, and iat as a number: seconds since ' +
      '1970, as exp and nbf if the proof has them',
  },
});

const byReasonCode: ReadonlyMap<string | undefined, Hint> = new Map(Object.entries(byReason));

const dpopType: TypeReasonCode = 'type_dpop';

const keyNotAccepted: BindingReasonCode = 'jkt_not_accepted';

/** Returns the likely cause of a refusal that DPoP has to do with. Never throws. */
export function hintForDpop(
  refusal: RequestRefused,
  req: NodeRequest,
  acceptsDpop: boolean,
): Hint | undefined {
  const known = byCode[refusal.code];
  if (known !== undefined) {
    return known;
  }
  const reason = reasonCodeOf(refusal);
  switch (refusal.code) {
    case 'dpop_proof_malformed':
    case 'dpop_proof_for_another':
      return byReasonCode.get(reason);
    case 'credentials_missing':
      return !acceptsDpop && hasDpopScheme(req) ? dpopOff : undefined;
    case 'token_bound_otherwise':
      return !acceptsDpop && reason === keyNotAccepted ? dpopOff : undefined;
    // Servers name the type of such a token, which is read before cnf.
    case 'token_wrong_type':
      return reason === dpopType ? (acceptsDpop ? bearerScheme : dpopOff) : undefined;
    default:
      return undefined;
  }
}
