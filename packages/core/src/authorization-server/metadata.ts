import {
  type AuthorizationServer,
  customFetch,
  discoveryRequest,
  JSON_ATTRIBUTE_COMPARISON,
  OperationProcessingError,
  processDiscoveryResponse,
} from 'oauth4webapi';
import { isTellable, RequestRefused } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { withTimeoutSignal } from '../shared/deadline.js';
import { MAX_NESTING, nestsTooDeep } from '../shared/json-nesting.js';
import { readOwnMember } from '../shared/own-member.js';
import { describeError } from '../shared/shown-error.js';
import { redactUrl } from '../shared/shown-url.js';
import { describeClaim } from '../token/token-rejection.js';
import type { Http } from './http.js';
import type { RequesterFacts } from './requester.js';
import { readRetryAfter, serverTrouble } from './retry-after.js';
import { refusalOfReading } from './whole-answer.js';

/**
 * The authorization server's metadata, discovered when first needed. Rejects with `RequestRefused`.
 * A discovery that several callers wait for is sent for the `requester` of the first.
 */
export type ReadServerMetadata = (requester?: RequesterFacts) => Promise<AuthorizationServer>;

// RFC 8414 §3 first; servers that know OpenID Connect Discovery alone answer at the second.
const discoveryLocations = ['oauth2', 'oidc'] as const;

/** How the metadata are come by and kept. */
export interface MetadataRules {
  readonly issuer: string;
  /** Seconds after which they are fetched again. */
  readonly metadataMaxAge: number;
  /** Given by the user for a server without discovery. */
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
}

/** Metadata that the user gave: nothing is discovered. */
export function createStaticMetadata({ issuer, metadata }: MetadataRules): ReadServerMetadata | undefined {
  const server = metadata && ({ ...metadata, issuer } as AuthorizationServer);
  return server && (async () => server);
}

/**
 * Milliseconds until metadata that could not be read again are tried once more; twice as long after
 * each further failure.
 */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 300_000;

/** What discovery needs besides the issuer. */
export interface DiscoveryParts {
  readonly http: Http;
  /** Seconds for one discovery, at both locations. */
  readonly timeout: number;
  readonly onFound: (server: AuthorizationServer) => void;
  readonly report: ReportProblem;
  /** Default: RFC 8414 and OpenID Connect Discovery. */
  readonly discover?: (issuer: string, http: Http, signal: AbortSignal) => Promise<AuthorizationServer>;
}

/**
 * Discovers the metadata of `issuer` at the first call, shared by all callers that wait, and shows
 * it to `onFound`. When they are too old they are read again in the background, while the old ones
 * are used: no caller waits. Failures to read them again are reported once, and each makes the
 * pause before the next attempt longer. A failure of the first discovery is not kept.
 */
export function createDiscovery(
  { issuer, metadataMaxAge }: MetadataRules,
  { http, timeout, onFound, report, discover = discoverServer }: DiscoveryParts,
): ReadServerMetadata {
  let known: AuthorizationServer | undefined;
  let nextAttempt = { atTime: 0, atMonotonicTime: 0 };
  let pause = FIRST_PAUSE;
  let discovery: Promise<AuthorizationServer> | undefined;

  function attemptIn(milliseconds: number): void {
    nextAttempt = {
      atTime: Date.now() + milliseconds,
      atMonotonicTime: performance.now() + milliseconds,
    };
  }

  /**
   * By either clock: the wall clock can be set back, and the monotonic clock stands still while a machine is
   * suspended.
   */
  function isAttemptDue(): boolean {
    return Date.now() >= nextAttempt.atTime || performance.now() >= nextAttempt.atMonotonicTime;
  }

  async function discoverOnce(requester: RequesterFacts | undefined): Promise<AuthorizationServer> {
    const send: Http = (url, request) => http(url, { ...request, requester });
    try {
      const server = await withTimeoutSignal(timeout, (signal) => discover(issuer, send, signal));
      known = server;
      attemptIn(metadataMaxAge * 1000);
      pause = FIRST_PAUSE;
      onFound(server);
      return server;
    } finally {
      discovery = undefined;
    }
  }

  function postpone(error: unknown): void {
    if (pause === FIRST_PAUSE) {
      const why = error instanceof RequestRefused || isTellable(error) ? error.message : describeError(error);
      report(
        'metadata_outdated',
        `the metadata of ${issuer} can not be read again; the old ones are used: ${why}`,
      );
    }
    attemptIn(pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }

  return async (requester) => {
    if (known === undefined) {
      discovery ??= discoverOnce(requester);
      return discovery;
    }
    if (discovery === undefined && isAttemptDue()) {
      discovery = discoverOnce(requester);
      discovery.catch(postpone);
    }
    return known;
  };
}

async function discoverServer(issuer: string, http: Http, signal: AbortSignal): Promise<AuthorizationServer> {
  let trouble: RequestRefused | undefined;
  for (const algorithm of discoveryLocations) {
    const url = new URL(issuer);
    const response = await discoveryRequest(url, { algorithm, [customFetch]: http, signal });
    if (response.status === 200) {
      const metadata = await read(url, response);
      // oauth4webapi compares as URLs; the standard wants the identical string (RFC 8414 §3.3).
      if (!(metadata instanceof RequestRefused) && metadata.issuer === issuer) {
        return metadata;
      }
      trouble ??= metadata instanceof RequestRefused ? metadata : mismatch(issuer, metadata.issuer);
    }
    trouble ??= statusTrouble(response, issuer);
  }
  throw trouble ?? notFound(issuer);
}

/**
 * 404 and its like say that the document is elsewhere. A firewall's 401 and 403 say nothing about
 * the option `issuer`.
 */
function statusTrouble(response: Response, issuer: string): RequestRefused | undefined {
  const { status, headers } = response;
  if (status === 401 || status === 403) {
    return new RequestRefused('authorization_server_failed', {
      detail: `discovery of ${issuer} answered ${status}; a firewall or proxy may not let this API through`,
      ...readRetryAfter(headers.get('retry-after')),
    });
  }
  return serverTrouble(response, `discovery of ${issuer}`);
}

async function read(url: URL, response: Response): Promise<AuthorizationServer | RequestRefused> {
  try {
    const metadata = await processDiscoveryResponse(url, response);
    if (nestsTooDeep(metadata)) {
      const detail = `the metadata of ${redactUrl(url)} nest deeper than ${MAX_NESTING} levels`;
      return new RequestRefused('authorization_server_invalid_answer', { detail });
    }
    return metadata;
  } catch (error) {
    if (error instanceof OperationProcessingError && error.code === JSON_ATTRIBUTE_COMPARISON) {
      return mismatch(url.href, issuerIn(error.cause));
    }
    const detail = `the metadata of ${redactUrl(url)} can not be read: ${describeError(error)}`;
    return refusalOfReading(error) ?? new RequestRefused('authorization_server_invalid_answer', { detail });
  }
}

/** Returns `issuer` of the document that oauth4webapi refused. */
function issuerIn(cause: unknown): string | undefined {
  const body: unknown =
    typeof cause === 'object' && cause !== null ? readOwnMember({ ...cause }, 'body') : undefined;
  const issuer = typeof body === 'object' && body !== null ? readOwnMember({ ...body }, 'issuer') : undefined;
  return typeof issuer === 'string' ? issuer : undefined;
}

function mismatch(expected: string, found: string | undefined): RequestRefused {
  const says = found === undefined ? 'another issuer' : `issuer ${describeClaim(found)}`;
  return new RequestRefused('authorization_server_issuer_mismatch', {
    detail:
      `the metadata found for ${expected} says ${says}; set the option issuer to ` +
      "the server's own spelling",
  });
}

function notFound(issuer: string): RequestRefused {
  return new RequestRefused('authorization_server_unsuitable', {
    detail: `${issuer} publishes no metadata (RFC 8414 or OpenID Connect Discovery); check the option issuer`,
  });
}
