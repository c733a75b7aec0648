import type { RequestRefused } from '../errors.js';
import { TellableError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { hasDpopScheme, type TokenScheme } from '../request/credentials.js';
import type { NodeRequest } from '../request/node-request.js';
import { isPromise } from '../shared/promises.js';
import type { HttpAnswer } from './http-answer.js';

/** What the body of a refusal is made of. */
export interface RefusalBody {
  readonly error: string;
  readonly error_description: string;
}

/** A refusal as seen by the hook that shapes its body. */
export interface RefusalSummary {
  /** The status of the answer. */
  readonly status: number;
  /** The reason, which the client does not read. */
  readonly code: RequestRefused['code'];
  /**
   * The body that is sent without a hook; none when the request carried no credentials (RFC 6750
   * §3.1).
   */
  readonly body: RefusalBody | undefined;
}

/**
 * Shapes the body of refusals: returns any value for JSON, or `undefined` for an empty body. `req`
 * is the request of Node: the `req` of Express, the `ctx.req` of Koa. It must not be asynchronous:
 * if it returns a promise, or throws, the plain body is sent and the problem `error_body_failed` is
 * reported.
 */
export type ErrorBody = (
  refusal: RefusalSummary,
  req: NodeRequest,
) => (object & NotThenable) | string | number | boolean | null | undefined;

/** What is no promise. */
interface NotThenable {
  /** A promise has it, so a value that has it is refused. Default: not there. */
  readonly then?: never;
}

/** What challenges say of DPoP (RFC 9449 §7.1, §9). */
export interface DpopChallenge {
  /** The signature algorithms that are accepted. */
  readonly algorithms: readonly string[];
  /** Returns a nonce for the next proof of a client; `undefined` if no nonces are demanded. */
  latestNonce(): string | undefined;
}

export interface ChallengeRules {
  /** The text for the client; by default the refusal's own fixed sentence. */
  readonly describe?: (refusal: RequestRefused) => string | undefined;
  /** `realm` of the challenge (RFC 9110 §11.5). */
  readonly realm: string;
  readonly errorBody: ErrorBody | undefined;
  /** `Content-Type` of the body. */
  readonly errorContentType: string;
  /** Where the resource's metadata are (RFC 9728 §5.1). */
  readonly resourceMetadata: string | undefined;
  /** What challenges say of DPoP; `undefined` if it is not accepted. */
  readonly dpop: DpopChallenge | undefined;
  /** Is called for each value of a refusal that the answer leaves out. */
  readonly report: ReportProblem;
}

/** Characters that a quoted string holds without a backslash (RFC 6750 §3). */
const quotable = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/;
/**
 * Values of such characters with one blank between two: scopes (RFC 6750 §3) and `acr` values (RFC
 * 9470 §3).
 */
const blankSeparated = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/;

/** The answer to a refused request, before the body is written as JSON. */
export interface UnserializedAnswer {
  readonly status: number;
  /** Without `Content-Type`. */
  readonly headers: Readonly<Record<string, string>>;
  /** For JSON; `undefined` for an empty body. */
  readonly body: unknown;
}

/**
 * The answer to a refused request, with its challenge (RFC 6750 §3). Throws what the body hook
 * throws.
 */
export function createRefusalAnswer(
  refusal: RequestRefused,
  req: NodeRequest,
  rules: ChallengeRules,
): HttpAnswer {
  const { status, headers, body: value } = createUnserializedAnswer(refusal, req, rules);
  const body = JSON.stringify(value) ?? '';
  return {
    status,
    headers: { ...headers, ...(body !== '' && { 'Content-Type': rules.errorContentType }) },
    body,
  };
}

/**
 * Status, headers and body of the answer to a refused request. Throws what the body hook throws.
 */
export function createUnserializedAnswer(
  refusal: RequestRefused,
  req: NodeRequest,
  rules: ChallengeRules,
): UnserializedAnswer {
  const { errorBody } = rules;
  const description = fitting(quotable, rules.describe?.(refusal)) ?? refusal.description;
  const retryAfter = kept('retryAfter', refusal, wholeSeconds, rules);
  const plain = bodyOf(refusal, description);
  const shaped: unknown =
    errorBody === undefined
      ? plain
      : errorBody({ status: refusal.status, code: refusal.code, body: plain }, req);
  if (isPromise(shaped)) {
    throw new TellableError('it returned a promise; it must return the body itself');
  }
  const nonce = refusal.error === 'use_dpop_nonce' ? rules.dpop?.latestNonce() : undefined;
  return {
    status: refusal.status,
    headers: {
      'Cache-Control': 'no-store',
      ...(refusal.isChallenged && { 'WWW-Authenticate': challenge(refusal, req, rules, description) }),
      ...(nonce !== undefined && { 'DPoP-Nonce': nonce }),
      ...(retryAfter !== undefined && { 'Retry-After': retryAfter }),
    },
    body: shaped,
  };
}

/**
 * Writes each parameter at most once (RFC 6750 §3). Realm and metadata were checked at start-up. A
 * policy of the user may have made the refusal: the challenge leaves out a value of it that could
 * end a parameter or begin another.
 */
function challenge(
  refusal: RequestRefused,
  req: NodeRequest,
  rules: ChallengeRules,
  description: string | undefined,
): string {
  const { realm, resourceMetadata, dpop } = rules;
  const parameters = {
    realm,
    error: refusal.error,
    error_description: description,
    scope: kept('scope', refusal, (value) => fitting(blankSeparated, value), rules),
    acr_values: kept('acrValues', refusal, (value) => fitting(blankSeparated, value), rules),
    max_age: kept('maxAge', refusal, wholeSeconds, rules),
    resource_metadata: resourceMetadata,
  };
  if (dpop === undefined) {
    return writeChallenge('Bearer', parameters);
  }
  const algs = dpop.algorithms.join(' ');
  // The error is that of the scheme that the client used; the other scheme is offered.
  return hasDpopScheme(req)
    ? `${writeChallenge('DPoP', { ...parameters, algs })}, ${writeChallenge('Bearer', { realm })}`
    : `${writeChallenge('Bearer', parameters)}, ${writeChallenge('DPoP', { realm, algs })}`;
}

function writeChallenge(
  scheme: TokenScheme,
  parameters: Readonly<Record<string, string | undefined>>,
): string {
  const present = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return `${scheme} ${present.map(([name, value]) => `${name}="${value}"`).join(', ')}`;
}

/**
 * Returns a value of a refusal as the answer carries it, or `undefined`, with a report, for one
 * that does not fit.
 */
function kept(
  name: 'scope' | 'acrValues' | 'maxAge' | 'retryAfter',
  refusal: RequestRefused,
  write: (value: unknown) => string | undefined,
  { report }: ChallengeRules,
): string | undefined {
  const value: unknown = refusal[name];
  if (value === undefined) {
    return undefined;
  }
  const written = write(value);
  if (written === undefined) {
    report(
      'refusal_value_left_out',
      `the answer to a request leaves out ${name} of new RequestRefused('${refusal.code}', ` +
        `{ ${name} }): ${expected[name]}`,
    );
  }
  return written;
}

const expected = {
  scope: 'expected scopes of printable ASCII without " and \\, with one blank between two',
  acrValues: 'expected values of printable ASCII without " and \\, with one blank between two',
  maxAge: 'expected a whole number of seconds from 0',
  retryAfter: 'expected a whole number of seconds from 0',
} as const;

function fitting(pattern: RegExp, value: unknown): string | undefined {
  return typeof value === 'string' && pattern.test(value) ? value : undefined;
}

function wholeSeconds(value: unknown): string | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? String(value) : undefined;
}

function bodyOf({ error }: RequestRefused, description: string | undefined): RefusalBody | undefined {
  return error === undefined || description === undefined
    ? undefined
    : { error, error_description: description };
}
