import type { JWTPayload } from 'jose';
import { TellableError } from '../errors.js';
import {
  algorithmList,
  permittedByDefaultInWords,
  type SignatureAlgorithm,
} from '../jose/signature-algorithms.js';
import { type OptionsOf, optional, optionGroup, type SettingsOf } from '../shared/option-group.js';
import type { RemoteKeys } from './key-set.js';
import { decryptionKeys, decryptJwt } from './nested-jwt.js';
import type { RequesterFacts } from './requester.js';
import { type JwtRules, verifyJwt } from './verified-jwt.js';

export const signedAnswerOptions = optionGroup({
  /**
   * The signature algorithms that are accepted, out of PS256, ES256, EdDSA, Ed25519 (the newer name
   * of EdDSA) and RS256. Default: those of FAPI 2.0 §5.4.1, all but RS256, or those of them that
   * the `profile` permits.
   */
  algorithms: optional(algorithmList, { defaultInWords: permittedByDefaultInWords }),
  /**
   * The private key of your API, if the server also encrypts its answers
   * (`introspection_encrypted_response_alg`, RFC 9701 §6). An answer that is not encrypted is then
   * refused. To replace the key, give a list of both. Default: not encrypted.
   */
  decryptionKey: optional(decryptionKeys, { defaultInWords: 'not encrypted' }),
});

/** Options of signed introspection answers. */
export interface SignedAnswers extends OptionsOf<typeof signedAnswerOptions> {}

/** The form that signed answers must have. */
export type SignedAnswerFormat = SettingsOf<typeof signedAnswerOptions>;

/** The media type that is asked for and alone accepted (RFC 9701 §4, §5). */
export const signedAnswerType = 'application/token-introspection+jwt';

/** Seconds: a recorded answer can't be played back later. */
const MAX_AGE = 60;

/** The signer of an answer, its audience and its algorithms. */
export interface SignedAnswerRules {
  readonly issuer: string;
  readonly clientId: string;
  readonly audience: readonly string[] | 'server-enforced';
  readonly clockTolerance: number;
  readonly algorithms: readonly SignatureAlgorithm[];
  readonly format: SignedAnswerFormat;
}

/**
 * Reads the `token_introspection` of a signed answer (RFC 9701 §5), and no other member of the JWT.
 * Throws for an answer that the authorization server did not sign, that is not for this API, that
 * is not of now, or that has another type.
 */
export async function readSignedAnswer(
  jwt: string,
  keys: RemoteKeys,
  rules: SignedAnswerRules,
  requester?: RequesterFacts,
): Promise<Record<string, unknown>> {
  const { issuer, clientId, audience, clockTolerance, algorithms, format } = rules;
  const options: JwtRules = {
    types: ['token-introspection+jwt'],
    issuer,
    // Authorization servers name this API by its client id or by the identifier that tokens name.
    audience: audience === 'server-enforced' ? clientId : [clientId, ...audience],
    algorithms: [...algorithms],
    clockTolerance,
    maxTokenAge: MAX_AGE,
    requiredClaims: ['iss', 'aud', 'iat'],
  };
  if (format.decryptionKey === undefined && jwt.split('.').length === 5) {
    throw new TellableError('it is encrypted; introspection({ signed: { decryptionKey } }) takes the key');
  }
  const signed = await decryptJwt(jwt, format.decryptionKey);
  const { payload } = await verifyJwt(signed, keys, options, requester);
  return answerIn(payload);
}

function answerIn({ token_introspection: answer }: JWTPayload): Record<string, unknown> {
  if (
    typeof answer === 'object' &&
    answer !== null &&
    Object.hasOwn(answer, 'active') &&
    'active' in answer &&
    typeof answer.active === 'boolean'
  ) {
    return answer as Record<string, unknown>;
  }
  throw new TellableError('its token_introspection is no object with a boolean active');
}
