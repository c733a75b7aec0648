import type { RequestRefused } from '../errors.js';
import { isPromised } from '../unwaited.js';

/** What the body of a refusal is made of. */
export interface RefusalBody {
  readonly error: string;
  readonly error_description: string;
}

/** A refusal as seen by the hook that shapes its body. */
export interface RefusalSummary {
  /** The status of the answer. */
  readonly status: number;
  /** The reason, which the client is not told. */
  readonly code: RequestRefused['code'];
  /** The body that is sent without a hook; none when the request carried no credentials (RFC 6750 §3.1). */
  readonly body: RefusalBody | undefined;
}

/**
 * Shapes the body of refusals: returns any value for JSON, or `undefined` for an empty body. It must not be asynchronous: if it
 * returns a promise, or throws, the plain body is sent and the problem `error_body_failed` is reported.
 */
export type ErrorBody = (
  refusal: RefusalSummary,
) => (object & NotThenable) | string | number | boolean | null | undefined;

/** What is no promise. */
interface NotThenable {
  /** A promise has it, so a value that has it is refused. Default: not there. */
  readonly then?: never;
}

/** An HTTP answer, for any framework to send as it is. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON, or empty. */
  readonly body: string;
}

export interface ChallengeRules {
  /** What the client is told; by default the refusal's own fixed sentence. */
  readonly describe?: (refusal: RequestRefused) => string | undefined;
  /** `realm` of the challenge (RFC 9110 §11.5). */
  readonly realm: string;
  readonly errorBody: ErrorBody | undefined;
  /** Where the resource's metadata are (RFC 9728 §5.1). */
  readonly resourceMetadata: string | undefined;
}

/** The answer to a refused request, with its challenge (RFC 6750 §3). Throws what the body hook throws. */
export function refusalAnswer(refusal: RequestRefused, rules: ChallengeRules): Answer {
  const { errorBody } = rules;
  const description = rules.describe?.(refusal) ?? refusal.description;
  const plain = bodyOf(refusal, description);
  const shaped: unknown =
    errorBody === undefined ? plain : errorBody({ status: refusal.status, code: refusal.code, body: plain });
  if (isPromised(shaped)) {
    throw new TypeError('it returned a promise; it must return the body itself');
  }
  const body = JSON.stringify(shaped) ?? '';
  return {
    status: refusal.status,
    headers: {
      'Cache-Control': 'no-store',
      ...(body !== '' && { 'Content-Type': 'application/json; charset=utf-8' }),
      ...(refusal.isChallenged && { 'WWW-Authenticate': challenge(refusal, rules, description) }),
      ...(refusal.retryAfter !== undefined && { 'Retry-After': String(refusal.retryAfter) }),
    },
    body,
  };
}

/** Each parameter at most once (RFC 6750 §3). Every value is a constant of ours, was checked at start-up, or has had removed what does not fit. */
function challenge(
  refusal: RequestRefused,
  { realm, resourceMetadata }: ChallengeRules,
  description: string | undefined,
): string {
  const parameters = {
    realm,
    error: refusal.error,
    error_description: description,
    scope: refusal.scope,
    acr_values: refusal.acrValues,
    max_age: refusal.maxAge,
    resource_metadata: resourceMetadata,
  };
  const present = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return `Bearer ${present.map(([name, value]) => `${name}="${value}"`).join(', ')}`;
}

function bodyOf({ error }: RequestRefused, description: string | undefined): RefusalBody | undefined {
  return error === undefined || description === undefined
    ? undefined
    : { error, error_description: description };
}
