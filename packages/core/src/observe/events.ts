import { channel, tracingChannel } from 'node:diagnostics_channel';
import type { Authorization } from '../authorization.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { type RefusalCode, type RequestRefused, toRefusal } from '../errors.js';
import { interactionOf } from '../shared/interaction-id.js';
import type { TokenAnswer } from '../token/token-claims.js';
import { readTokenRejection } from '../token/token-rejection.js';

/**
 * Published on `mtls-bound:admitted` for each request that is accepted. Holds no token, no subject
 * and no other claim.
 */
export interface AdmittedEvent {
  /** The issuer whose authorization server vouches for the token. */
  readonly issuer: string;
  /** `client_id`, where the token names one. */
  readonly clientId: string | undefined;
  /** The SHA-256 thumbprint of the presented certificate, when there was one. */
  readonly thumbprint: string | undefined;
  /**
   * The SHA-256 thumbprint of the key (RFC 7638) that has signed the DPoP proof of the request, if
   * the token is bound to it (RFC 9449).
   */
  readonly keyThumbprint: string | undefined;
  /** False only where `binding` is not `required`. */
  readonly isBound: boolean;
  /** With `binding: 'report'`: why `binding: 'required'` would have refused the request. */
  readonly reported: RefusalCode | undefined;
  /** `x-fapi-interaction-id`, where `fapiHeaders()` ran. */
  readonly interactionId: string | undefined;
}

/**
 * Published on `mtls-bound:refused` for each request that is refused; on `mtls-bound:reported`
 * for each that `binding: 'report'` accepts and `required` would refuse. Holds no token. Of its claims
 * it holds the issuer, `client_id`, and `cnf["x5t#S256"]` or `cnf.jkt`, where that is not the client's.
 * `refusal.detail` may also name an `iss`, `aud` or `token_type` that is not the expected one, `alg`,
 * `typ` or `kid` of a JWT, and how far `exp`, `nbf` or `iat` is from now.
 */
export interface RefusedEvent {
  /**
   * `code` is the reason, `detail` is for the operator. For `internal_error` `detail` has the
   * name and code of what was thrown, maybe by a function of yours; `cause` is the error itself,
   * with whatever that holds.
   */
  readonly refusal: RequestRefused;
  /**
   * `route` for a request that `mtlsBound()` accepted before, so that an admitted event describes
   * it too; otherwise `request`.
   */
  readonly stage: 'request' | 'route';
  /** The issuer whose authorization server vouches for the token, once it is known to be active. */
  readonly issuer: string | undefined;
  /** `client_id` of the token, once it is known to be active. */
  readonly clientId: string | undefined;
  /** The SHA-256 thumbprint of the presented certificate, when there was one. */
  readonly thumbprint: string | undefined;
  /**
   * The SHA-256 thumbprint of the key (RFC 7638) that the DPoP proof of the request names, if the
   * key could be read (RFC 9449). A client can name a key that it does not have: the signature of a
   * refused proof may not have been checked.
   */
  readonly keyThumbprint: string | undefined;
  /** `x-fapi-interaction-id`, where `fapiHeaders()` ran. */
  readonly interactionId: string | undefined;
  /** What the token, the certificate and the connection have to say about it. */
  readonly explanation: Explanation;
}

/** Why a request is refused, in more words than its client reads. */
export interface Explanation {
  /** `cnf["x5t#S256"]` of the token, where that was compared. */
  readonly expectedThumbprint: string | undefined;
  /** The SHA-256 thumbprint of the presented certificate, when there was one. */
  readonly presentedThumbprint: string | undefined;
  /**
   * Such as `the TLS connection`, `the header x-ssl-client-cert`, `the event of API Gateway` or `the
   * option certificate`. A certificate source of yours sets its own text.
   */
  readonly certificateFrom: string;
  /** The most likely cause, and how to fix it. */
  readonly hint: string | undefined;
  /**
   * That cause as a code, such as `certificate_renewed`, `thumbprint_in_hex` or
   * `proxy_not_trusted`. A certificate source of yours sets its own codes.
   */
  readonly hintCode: string | undefined;
}

/**
 * On the tracing channel `mtls-bound:introspection` for each question to an authorization server
 * about a token: the same object at `start`, `end`, `asyncStart`, `asyncEnd` and `error`. It is
 * asked once for all requests that wait for it, in the context of the first.
 */
export interface IntrospectionEvent {
  /** The issuer whose authorization server is asked. */
  readonly issuer: string;
  /**
   * `x-fapi-interaction-id` of the request for whose sake it is asked, where `fapiHeaders()` ran.
   */
  readonly interactionId: string | undefined;
  /** At the end: what came of it. */
  outcome?: 'active' | RefusalCode;
}

/** Published on `mtls-bound:cache` when a token is looked up, and for what answers it after a miss. */
export interface CacheEvent {
  /**
   * For each look-up. `hit`: the claims of an active token are cached; `rejection_hit`: a rejection
   * of the token is cached; `miss`: this process has no answer that can be used.
   *
   * `shared_hit`: an answer was read from the shared cache, once for all requests that wait for it, or
   * for a refresh in the background. `stale`: a request got an answer that is too old, after the miss,
   * because the authorization server gave none (`cache.staleIfError`).
   */
  readonly result: 'hit' | 'rejection_hit' | 'miss' | 'shared_hit' | 'stale';
}

/**
 * Published on `mtls-bound:certificate` for each request with a token, once its certificate was
 * looked for. Not published if the certificate can't be read.
 */
export interface CertificateEvent {
  /** As in `Explanation`. */
  readonly from: string;
  /** Undefined where the client showed none. */
  readonly thumbprint: string | undefined;
  /** Whether TLS verified its chain; `undefined` if that is unknown. */
  readonly verified: boolean | undefined;
}

/**
 * Published on `mtls-bound:breaker` when an endpoint of an authorization server, or of a transmitter
 * of Shared Signals, is paused, and when the pause ends.
 */
export interface BreakerEvent {
  /**
   * Which server it is: the issuer of an authorization server, or the `transmitter` of `sharedSignals()`.
   * They are the same text if the authorization server is the transmitter: then `endpoint` shows which it
   * is. Metrics have the label `issuer` for both.
   */
  readonly issuer: string;
  /** The URL of the endpoint, without user name and query. */
  readonly endpoint: string;
  /**
   * `open`: requests are held back, of one client or of all, and only a probe is sent from time to time.
   * `closed`: it answers again, or the resource server was closed.
   */
  readonly state: 'open' | 'closed';
}

/**
 * Published on `mtls-bound:signal` for each Security Event Token that is received. Names no
 * subject.
 */
export interface SignalEvent {
  /** The transmitter that the receiver is configured for. */
  readonly transmitter: string;
  /** The URIs of its events; none for a token that is refused. */
  readonly types: readonly string[];
  /**
   * `revoked`: tokens were revoked. `not_revoked`: the subject, or a part of it, names no tokens
   * here. `ignored`: no event revokes. `repeated`: it was acted on before. `refused`: it is not
   * valid. `failed`: the transmitter must send it again.
   */
  readonly outcome: 'revoked' | 'not_revoked' | 'ignored' | 'repeated' | 'refused' | 'failed';
  /** The error of RFC 8935 §2.4 that a refused one is answered with. */
  readonly error: string | undefined;
}

/** Published on `mtls-bound:problem` for each problem that an operator must solve. */
export interface ProblemEvent {
  /** Stable: what to filter and alert on. */
  readonly code: string;
  /** What is wrong and what to do about it. */
  readonly message: string;
}

const admitted = channel('mtls-bound:admitted');
const refused = channel('mtls-bound:refused');
const introspection = tracingChannel<unknown, IntrospectionEvent>('mtls-bound:introspection');
const cache = channel('mtls-bound:cache');
const certificates = channel('mtls-bound:certificate');
const breaker = channel('mtls-bound:breaker');
const reported = channel('mtls-bound:reported');
const signals = channel('mtls-bound:signal');
const problem = channel('mtls-bound:problem');

/**
 * Publishes that a request was accepted. Calls `reportedFor` only if the channel has a subscriber.
 */
export function publishAdmitted<Req extends object>(
  authorization: Authorization,
  req: Req,
  reportedFor: (req: Req) => RefusalCode | undefined,
): void {
  if (admitted.hasSubscribers) {
    const { issuer, clientId, certificate, isBound, keyThumbprint } = authorization;
    const thumbprint = certificate?.thumbprint;
    const event: AdmittedEvent = {
      issuer,
      clientId,
      thumbprint,
      keyThumbprint,
      isBound,
      reported: reportedFor(req),
      interactionId: interactionOf(req),
    };
    admitted.publish(event);
  }
}

/** The explanation is made only if a subscriber listens. */
export function publishRefused(event: Omit<RefusedEvent, 'explanation'>, explain: () => Explanation): void {
  if (refused.hasSubscribers) {
    refused.publish({ ...event, explanation: explain() } satisfies RefusedEvent);
  }
}

/** Publishes the refusal of a request before a resource server looked at it. */
export function publishRefusedEarly(refusal: RequestRefused, interactionId: string | undefined): void {
  const about = {
    refusal,
    stage: 'request',
    issuer: undefined,
    clientId: undefined,
    thumbprint: undefined,
    keyThumbprint: undefined,
    interactionId,
  } as const;
  publishRefused(about, () =>
    Object.freeze({
      expectedThumbprint: undefined,
      presentedThumbprint: undefined,
      certificateFrom: 'nowhere: it was not looked for',
      hint: undefined,
      hintCode: undefined,
    }),
  );
}

/** Asks, and publishes the outcome, without the claims, if a subscriber listens. */
export function traceIntrospection(
  about: Pick<IntrospectionEvent, 'issuer' | 'interactionId'>,
  ask: () => Promise<TokenAnswer>,
): Promise<TokenAnswer> {
  return introspection.hasSubscribers ? traced(about, ask) : ask();
}

async function traced(
  about: Pick<IntrospectionEvent, 'issuer' | 'interactionId'>,
  ask: () => Promise<TokenAnswer>,
): Promise<TokenAnswer> {
  const event: IntrospectionEvent = { ...about };
  let answer: TokenAnswer = 'token_inactive';
  // What the traced function returns is published.
  await introspection.tracePromise(async () => {
    try {
      answer = await ask();
      event.outcome = typeof answer === 'string' ? readTokenRejection(answer).code : 'active';
    } catch (thrown) {
      event.outcome = toRefusal(thrown).code;
      throw thrown;
    }
  }, event);
  return answer;
}

export function publishSignal(event: SignalEvent): void {
  if (signals.hasSubscribers) {
    signals.publish(event);
  }
}

export function publishCache(result: CacheEvent['result']): void {
  if (cache.hasSubscribers) {
    cache.publish({ result } satisfies CacheEvent);
  }
}

export function publishCertificate(from: string, certificate: ClientCertificate | undefined): void {
  if (certificates.hasSubscribers) {
    const { thumbprint, verified } = certificate ?? { thumbprint: undefined, verified: undefined };
    certificates.publish({ from, thumbprint, verified } satisfies CertificateEvent);
  }
}

/** The breakers that are open now, for observers that begin later. */
const openBreakers = new Set<Omit<BreakerEvent, 'state'>>();

/** Publishes the state of one breaker. */
export interface BreakerRegistration {
  show(isOpen: boolean): void;
  /** The breaker is not used any more. */
  end(): void;
}

/**
 * Publishes the state of one breaker. While it is open, observers that begin later receive its event too.
 */
export function registerBreaker(about: Omit<BreakerEvent, 'state'>): BreakerRegistration {
  const own = { ...about };
  const show = (isOpen: boolean): void => {
    const hasChanged = isOpen ? !openBreakers.has(own) : openBreakers.delete(own);
    if (isOpen) {
      openBreakers.add(own);
    }
    if (hasChanged && breaker.hasSubscribers) {
      breaker.publish({ ...own, state: isOpen ? 'open' : 'closed' } satisfies BreakerEvent);
    }
  };
  return { show, end: () => show(false) };
}

/** The events of the breakers that are open now. */
export function openBreakerEvents(): BreakerEvent[] {
  return [...openBreakers].map((about) => ({ ...about, state: 'open' }));
}

/**
 * Publishes on `mtls-bound:reported` that a request was accepted which `binding: 'required'` would
 * refuse.
 */
export function publishReported(event: Omit<RefusedEvent, 'explanation'>, explain: () => Explanation): void {
  if (reported.hasSubscribers) {
    reported.publish({ ...event, explanation: explain() } satisfies RefusedEvent);
  }
}

/**
 * Reports a problem: always on the channel, and the first time as a process warning, for a process
 * without a subscriber.
 */
export type ReportProblem = (code: string, message: string) => void;

export function createProblemReporter(): ReportProblem {
  const warned = new Set<string>();
  return (code, message) => {
    if (problem.hasSubscribers) {
      problem.publish({ code, message } satisfies ProblemEvent);
    }
    if (!warned.has(code)) {
      warned.add(code);
      process.emitWarning(message, { type: 'MtlsBoundWarning', code: `MTLS_BOUND_${code.toUpperCase()}` });
    }
  };
}
