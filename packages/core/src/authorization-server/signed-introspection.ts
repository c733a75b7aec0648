import { type JWTPayload, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose';
import type { OptionRule } from '../option-rules.js';
import { algorithmList, fapiAlgorithms, type SignatureAlgorithm } from './signature-algorithms.js';

/** Options of signed introspection answers. */
export interface SignedAnswers {
  /** Algorithms that are accepted. Default those of FAPI 2.0 §5.4.1: PS256, ES256, EdDSA. RS256 only when named. */
  readonly algorithms?: readonly SignatureAlgorithm[];
}

/** The media type that is asked for and alone accepted (RFC 9701 §4, §5). */
export const signedAnswerType = 'application/token-introspection+jwt';

/** Seconds: a recorded answer can't be played back later. */
const MAX_AGE = 60;

/** `true`, or an object with the algorithms; gives the algorithms. */
export const signedAnswers: OptionRule<readonly SignatureAlgorithm[]> = {
  accepted: `true, or { algorithms } with ${algorithmList.accepted}`,
  read: (given) => {
    if (given === true) {
      return fapiAlgorithms;
    }
    const isObject =
      typeof given === 'object' && given !== null && Object.keys(given).join() === 'algorithms';
    return isObject ? algorithmList.read((given as SignedAnswers).algorithms) : undefined;
  },
};

/** Who signs, for whom, and how. */
export interface SignedAnswerRules {
  readonly issuer: string;
  readonly clientId: string;
  readonly audience: readonly string[] | 'server-enforced';
  readonly clockTolerance: number;
  readonly algorithms: readonly SignatureAlgorithm[];
}

/**
 * Reads the `token_introspection` of a signed answer (RFC 9701 §5). What stands beside it in the JWT is not looked at.
 * Throws for an answer that is not the server's, not for us, not of now, or of another type.
 */
export async function readSignedAnswer(
  jwt: string,
  keys: JWTVerifyGetKey,
  rules: SignedAnswerRules,
): Promise<Record<string, unknown>> {
  const { issuer, clientId, audience, clockTolerance, algorithms } = rules;
  const options: JWTVerifyOptions = {
    typ: 'token-introspection+jwt',
    issuer,
    // Servers name us by our client id or by the identifier that tokens name.
    audience: audience === 'server-enforced' ? clientId : [clientId, ...audience],
    algorithms: [...algorithms],
    clockTolerance,
    maxTokenAge: MAX_AGE,
    requiredClaims: ['iss', 'aud', 'iat'],
  };
  const { payload } = await jwtVerify(jwt, keys, options);
  return answerIn(payload);
}

function answerIn({ token_introspection: answer }: JWTPayload): Record<string, unknown> {
  if (
    typeof answer === 'object' &&
    answer !== null &&
    'active' in answer &&
    typeof answer.active === 'boolean'
  ) {
    return answer as Record<string, unknown>;
  }
  throw new TypeError('its token_introspection is no object with a boolean active');
}
