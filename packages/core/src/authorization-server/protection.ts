import pLimit from 'p-limit';
import { CircuitBreaker, CircuitOpen, type Verdict } from '../circuit-breaker.js';
import { RequestRefused } from '../errors.js';
import { publishBreaker, type ReportProblem } from '../observe/events.js';
import type { Http } from './http.js';

/** How much of us an authorization server has to bear. */
export interface ProtectionRules {
  /** Exchanges under way at once. */
  readonly maxInFlight: number;
  /** Exchanges that wait for their turn; beyond that they are refused. */
  readonly maxQueued: number;
  /** Failures in a row after which it is given a rest. */
  readonly failuresToOpen: number;
  /** Seconds between two attempts during the rest. */
  readonly probeInterval: number;
}

/**
 * The same exchanges, but never too many at once, and next to none while the server is not there: a request that would
 * have waited for a time-out is refused at once.
 */
export function protectedHttp(http: Http, name: string, rules: ProtectionRules, report: ReportProblem): Http {
  const { maxInFlight, maxQueued, failuresToOpen, probeInterval } = rules;
  const limit = pLimit(maxInFlight);
  const breaker = new CircuitBreaker({ failures: failuresToOpen, probeInterval }, (isOpen) => {
    const message = isOpen
      ? `${name} failed ${failuresToOpen} times in a row; it is asked every ${probeInterval} s until it answers`
      : `${name} answers again`;
    publishBreaker({ issuer: name, state: isOpen ? 'open' : 'closed' });
    report(isOpen ? 'authorization_server_suspended' : 'authorization_server_resumed', message);
  });
  return async (url, request) => {
    try {
      // Who finds the breaker open need not queue to learn it.
      breaker.check();
      if (limit.pendingCount >= maxQueued) {
        throw new RequestRefused('authorization_server_not_asked', {
          detail: `${maxInFlight} exchanges with ${name} are under way and ${maxQueued} wait (http.maxInFlight, http.maxQueued)`,
          retryAfter: 1,
        });
      }
      const attempt = () => breaker.run(() => http(url, request), judge);
      return await limit(() => (request.method === 'GET' ? onceMore(attempt) : attempt()));
    } catch (error) {
      throw error instanceof CircuitOpen ? suspended(name, error) : error;
    }
  };
}

function suspended(name: string, open: CircuitOpen): RequestRefused {
  const retryAfter = Math.max(1, Math.ceil(open.retryAfter));
  return new RequestRefused('authorization_server_not_asked', {
    detail: `${name}: ${open.message}`,
    retryAfter,
  });
}

// A gateway's word that there is no server behind it.
const gatewayStatuses = new Set([502, 503, 504]);

/**
 * Only what shows that the server is not there counts: a client could make up a token that a server answers 500 to, or
 * too much, and would shut out everybody else.
 */
function judge(response: Response | undefined, error: unknown): Verdict {
  if (response !== undefined) {
    return gatewayStatuses.has(response.status) ? 'failed' : 'answered';
  }
  const isAbsent =
    error instanceof RequestRefused &&
    (error.code === 'authorization_server_timeout' || error.code === 'authorization_server_unreachable');
  return isAbsent ? 'failed' : 'answered';
}

/**
 * Asks once more when the connection failed: a kept-alive connection may be closed at the very moment it is used, and
 * nothing that we send does harm when it arrives twice.
 */
export async function onceMore<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof RequestRefused && error.code === 'authorization_server_unreachable') {
      return ask();
    }
    throw error;
  }
}
