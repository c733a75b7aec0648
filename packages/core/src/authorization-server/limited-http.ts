import { LRUCache } from 'lru-cache';
import { RequestRefused } from '../errors.js';
import { type BreakerRegistration, type ReportProblem, registerBreaker } from '../observe/events.js';
import {
  type AttemptKind,
  type AttemptOutcome,
  CircuitBreaker,
  CircuitOpen,
} from '../shared/circuit-breaker.js';
import type { CountingKeys } from '../shared/counting-keys.js';
import { redactUrl } from '../shared/shown-url.js';
import { ConcurrencyLimit } from './concurrency-limit.js';
import {
  type Http,
  type OutgoingRequest,
  StaleConnection,
  UntrustedServer,
  withRequestDeadline,
} from './http.js';
import { isAskingAboutActiveToken } from './requester.js';
import { readRetryAfter } from './retry-after.js';
import { headerOf } from './whole-answer.js';

/** Limits of the requests to one endpoint of an authorization server. */
export interface RequestLimits {
  /** Seconds for one request. */
  readonly timeout: number;
  /** Requests to one endpoint that run at once. */
  readonly maxConcurrent: number;
  /** Requests to one endpoint that wait for a place; further ones are refused. */
  readonly maxQueued: number;
}

/** When an endpoint of an authorization server is suspended, and for how long. */
export interface SuspensionRules {
  /** Consecutive failures after which an endpoint is suspended. */
  readonly maxFailures: number;
  /** Seconds between two attempts while it is suspended. */
  readonly retryInterval: number;
}

export interface LimitedHttpRules extends RequestLimits, SuspensionRules {}

/** Which server is asked: problems name it, so that the operator looks at the right one. */
export interface AskedServer {
  readonly role: 'authorization server' | 'transmitter';
  /** The issuer of the authorization server, or the transmitter of Shared Signals. */
  readonly name: string;
}

/**
 * Seconds. If an endpoint asks for a longer pause by `Retry-After`, it is still tried again after
 * this time. A client that can provoke such an answer must not lock out the other clients for long.
 */
const LONGEST_REST = 10;

/**
 * An authorization server has few endpoints: metadata in two places, keys, introspection. The rest is for
 * servers that change theirs, and for own sources.
 */
const MAX_ENDPOINTS = 32;

/** One URL of a server: its failures, its load and its pauses say nothing about another one. */
interface Endpoint {
  readonly breaker: CircuitBreaker;
  readonly exchanges: ConcurrencyLimit;
  readonly registration: BreakerRegistration;
}

/**
 * Returns an `Http` that sends at most `maxConcurrent` exchanges at once to one endpoint, with what
 * closes it. While the circuit breaker of the endpoint is open, a request is refused at once instead of
 * waiting for a timeout, except for a probe now and then.
 */
export function createLimitedHttpClient(
  http: Http,
  server: AskedServer,
  rules: LimitedHttpRules,
  report: ReportProblem,
): { readonly send: Http; readonly close: () => void } {
  const { maxConcurrent, maxQueued, timeout } = rules;
  const endpoints = new LRUCache<string, Endpoint>({
    max: MAX_ENDPOINTS,
    dispose: ({ registration }) => registration.end(),
  });

  function endpointOf(name: string): Endpoint {
    const known = endpoints.get(name);
    if (known !== undefined) {
      return known;
    }
    const endpoint = createEndpoint(name, server, rules, report);
    endpoints.set(name, endpoint);
    return endpoint;
  }

  let latest = { url: '', name: '' };

  function nameOf(url: string): string {
    if (url !== latest.url) {
      latest = { url, name: redactUrl(url) };
    }
    return latest.name;
  }

  const send: Http = async (url, request) => {
    const name = nameOf(url);
    const { breaker, exchanges } = endpointOf(name);
    const { countingKeys, kind } = causeOf(request);
    try {
      // A request that finds the breaker open need not queue to learn it.
      breaker.check(countingKeys, kind);
      if (exchanges.count >= maxConcurrent + maxQueued) {
        throw createNotAskedRefusal(
          `${maxConcurrent} exchanges with ${name} are under way and ${maxQueued} wait ` +
            '(http.maxConcurrent, http.maxQueued)',
        );
      }
      const sentAt = performance.now();
      return await withRequestDeadline(timeout, request, (questionRequest) => {
        const attempt = (wasCounted: boolean) => {
          // An exchange that waited long for its place had no fair time: its timeout says nothing
          // about the server.
          const isLate = performance.now() - sentAt > (timeout * 1000) / 2;
          return breaker.run(
            () => http(url, questionRequest),
            (response, error) => {
              const outcome = isLate && isTimeout(error) ? 'inconclusive' : classifyOutcome(response, error);
              return wasCounted && outcome !== 'answered' ? 'inconclusive' : outcome;
            },
            countingKeys,
            kind,
          );
        };
        const noPlace = () =>
          createNotAskedRefusal(`no place in time among the exchanges with ${name} (http.maxConcurrent)`);
        return exchanges.run(questionRequest.deadline, noPlace, () =>
          request.method === 'GET' ? retryBroken(attempt) : attempt(request.wasCounted === true),
        );
      });
    } catch (error) {
      throw error instanceof CircuitOpen ? createSuspendedRefusal(name, error) : error;
    }
  };
  return { send, close: () => endpoints.clear() };
}

/**
 * Returns the counting keys of the client for which a request is sent, none where no client caused it, and
 * whether the client can have made up what the request is about.
 */
function causeOf(request: OutgoingRequest): {
  readonly countingKeys: CountingKeys;
  readonly kind: AttemptKind;
} {
  // A token source of the user's own may make the request: a changed `Object.prototype` names no client.
  const requester = Object.hasOwn(request, 'requester') ? request.requester : undefined;
  if (requester === undefined) {
    return { countingKeys: [], kind: 'unknown' };
  }
  return {
    countingKeys: requester.countingKeys,
    kind: isAskingAboutActiveToken(requester) ? 'known' : 'unknown',
  };
}

function createEndpoint(
  name: string,
  server: AskedServer,
  { maxConcurrent, maxFailures, retryInterval }: LimitedHttpRules,
  report: ReportProblem,
): Endpoint {
  const registration = registerBreaker({ issuer: server.name, endpoint: name });
  const breaker = new CircuitBreaker({ maxFailures, probeInterval: retryInterval }, (isOpen) => {
    registration.show(isOpen);
    const message = isOpen
      ? `${name} failed or asked for a pause ${maxFailures} times in a row; one request at a ` +
        'time tries it until it answers'
      : `${name} answers again`;
    if (server.role === 'transmitter') {
      report(isOpen ? 'transmitter_suspended' : 'transmitter_resumed', message);
    } else {
      report(isOpen ? 'authorization_server_suspended' : 'authorization_server_resumed', message);
    }
  });
  return { breaker, exchanges: new ConcurrencyLimit(maxConcurrent), registration };
}

function createNotAskedRefusal(detail: string): RequestRefused {
  return new RequestRefused('authorization_server_not_asked', { detail, retryAfter: 1 });
}

function createSuspendedRefusal(name: string, open: CircuitOpen): RequestRefused {
  return new RequestRefused('authorization_server_not_asked', {
    detail: `${name}: ${open.message}`,
    retryAfter: Math.max(1, Math.ceil(open.retryAfter)),
    cause: open,
  });
}

// A gateway's word that there is no server behind it.
const gatewayStatuses = new Set([502, 503, 504]);

/**
 * Only what shows that the server is not there, or that it wants a rest, counts: a client could
 * make up a token that a server answers 500 to, or too much, and would shut out the others.
 */
function classifyOutcome(response: Response | undefined, error: unknown): AttemptOutcome {
  if (response !== undefined) {
    const { retryAfter } = readRetryAfter(headerOf(response, 'retry-after'));
    const isGateway = gatewayStatuses.has(response.status);
    if (retryAfter !== undefined && (isGateway || response.status === 429)) {
      return { restFor: Math.min(retryAfter, LONGEST_REST) };
    }
    return isGateway ? 'failed' : 'answered';
  }
  if (error instanceof StaleConnection) {
    return 'inconclusive';
  }
  return isTimeout(error) || isUnreachable(error) ? 'failed' : 'answered';
}

function isTimeout(error: unknown): boolean {
  return error instanceof RequestRefused && error.code === 'authorization_server_timeout';
}

function isUnreachable(error: unknown): boolean {
  return error instanceof RequestRefused && error.code === 'authorization_server_unreachable';
}

function isNotAsked(error: unknown): boolean {
  const isOwn = error instanceof RequestRefused && error.code === 'authorization_server_not_asked';
  return isOwn || error instanceof CircuitOpen;
}

/**
 * How often a question is asked again at most, where each connection that it got was one of the
 * pool.
 */
const STALE_RETRIES = 2;

/**
 * Asks again when the connection broke: up to twice where the connection had been used before, as
 * the next one may be dead too; once where it was new. Not if the server's certificate was refused. No
 * request that this API sends does harm if it arrives twice.
 *
 * @param ask gets whether an earlier attempt failed in a way that counts: one question counts once,
 * however often it is asked
 */
export async function retryBroken<T>(ask: (wasCounted: boolean) => Promise<T>): Promise<T> {
  let first: unknown;
  let wasCounted = false;
  for (let retries = 0; ; retries += 1) {
    try {
      return await ask(wasCounted);
    } catch (error) {
      // Where the first failure has opened the breaker, that failure is the cause.
      const cause = first !== undefined && isNotAsked(error) ? first : error;
      const maxRetries = error instanceof StaleConnection ? STALE_RETRIES : 1;
      if (!isUnreachable(error) || error instanceof UntrustedServer || retries >= maxRetries) {
        throw cause;
      }
      first ??= error;
      wasCounted ||= !(error instanceof StaleConnection);
    }
  }
}
