import * as http from 'node:http';
import * as https from 'node:https';
import { isIP } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { BodyBuffer, mostOnTheWire } from '../shared/body-buffer.js';
import type { ResolveHost } from '../shared/resolve-host.js';
import { hasUserInfo } from '../shared/shown-url.js';
import { quotaOwnerNamed } from './authority-key.js';
import { lookUpHost } from './host-lookup.js';
import { isPermittedAddress } from './permitted-address.js';
import { createLookup, createPermittedLookup } from './permitted-lookup.js';
import { RequestPlaces } from './request-places.js';
import { reasonOfError, StatusError, type StatusReason } from './status-reason.js';
import { Urgency } from './urgency.js';

/** Limits of the requests for lists and of those to responders. */
export interface FetchRules {
  /** Seconds for one request, with the body of its answer. */
  readonly timeout: number;
  /** The origins that may be asked, at any address. `undefined`: any of http, at permitted addresses. */
  readonly origins: readonly string[] | undefined;
  /** PEM certificates trusted for https URLs instead of Node's own list. */
  readonly ca: SecureContextOptions['ca'];
}

export interface StatusRequest {
  readonly accept: string;
  /** Bytes of an answer's body. */
  readonly maxSize: number;
  /** The ETag of an answer that the caller has. An answer may say that nothing is new (RFC 9110 §13.1.2). */
  readonly etag?: string | undefined;
  /** What is sent by POST. Default: nothing, by GET. */
  readonly post?: { readonly type: string; readonly body: Uint8Array };
  /**
   * The name of the `QuotaOwner` whose certificates are looked up. Requests of one owner, or below one trust
   * anchor, never delay those of another. Default: the URL's origin.
   */
  readonly authority?: string;
  /** Urgent requests come before others. Default: urgent. */
  readonly urgency?: Urgency;
}

export interface StatusBody {
  readonly body: Buffer;
  /** Its ETag, if the server gave one. */
  readonly etag: string | undefined;
}

/** Fetches lists, and asks responders. */
export interface StatusFetcher {
  /**
   * Resolves with `unchanged` if the answer with `etag` is still the current one. Rejects with a
   * `StatusError` that says why there is no answer.
   */
  fetch(url: string, request: StatusRequest): Promise<StatusBody | 'unchanged'>;
  /** Ends all requests. */
  close(): void;
}

/** URLs whose failures are remembered, each for one authority. */
const MAX_URLS = 1_000;

/** Interim answers (RFC 9110 §15.2) before the answer itself. */
const MAX_INTERIM_ANSWERS = 10;

/** Seconds for which a URL is not asked after its first failure, and at most. */
const FIRST_REST = 1;
const LONGEST_REST = 60;

interface Failures {
  /** Failures one after the other: those of requests that ran at the same time count as one. */
  readonly count: number;
  readonly reason: StatusReason;
  /** When the last one was counted, on the clock of `performance.now()`. */
  readonly at: number;
  /** On the clock of `performance.now()`. */
  readonly until: number;
}

/**
 * Asks a URL by GET once at a time for each authority, however many callers want its answer. After a
 * failure the URL rests for that authority: for one second, and twice as long after each further
 * one, up to a minute.
 *
 * @param resolveHost looks host names up
 */
export function createStatusFetcher(rules: FetchRules, resolveHost: ResolveHost = lookUpHost): StatusFetcher {
  const places = new RequestPlaces();
  const failures = new LRUCache<string, Failures>({ max: MAX_URLS });
  const underWay = new Map<string, UnderWay>();
  const requests = new Set<http.ClientRequest>();
  const lookup = rules.origins === undefined ? createPermittedLookup(resolveHost) : createLookup(resolveHost);
  let isClosed = false;

  const explainRest = (key: string): StatusReason | undefined => {
    const known = failures.get(key);
    return known !== undefined && performance.now() < known.until
      ? { code: known.reason.code, why: `${known.reason.why}; not asked again yet` }
      : undefined;
  };
  const noteFailure = (key: string, reason: StatusReason, began: number): void => {
    const before = failures.get(key);
    if (before !== undefined && began < before.at) {
      return;
    }
    const count = (before?.count ?? 0) + 1;
    const rest = Math.min(FIRST_REST * 2 ** (count - 1), LONGEST_REST);
    const at = performance.now();
    failures.set(key, { count, reason, at, until: at + rest * 1_000 });
  };
  const ask = async (
    url: string,
    request: StatusRequest,
    urgency: Urgency,
  ): Promise<StatusBody | 'unchanged'> => {
    // An authority that names the URL of another one, and makes it fail, stops only its own requests.
    const failureKey = `${request.authority ?? ''} ${url}`;
    const reason = isClosed ? closed : (explainRest(failureKey) ?? explainForbidden(url, rules.origins));
    if (reason !== undefined) {
      throw new StatusError(reason);
    }
    const { origin } = new URL(url);
    const authority = quotaOwnerNamed(request.authority ?? origin);
    const release = await places.take({ origin, authority, urgency });
    // Another request for the URL may have failed meanwhile.
    const later = isClosed ? closed : explainRest(failureKey);
    if (later !== undefined) {
      release();
      throw new StatusError(later);
    }
    const began = performance.now();
    let hasAnswered = false;
    try {
      const found = await exchange(url, request, rules, lookup, requests);
      hasAnswered = true;
      failures.delete(failureKey);
      return found;
    } catch (error) {
      hasAnswered = error instanceof AnswerNotUsable;
      if (error instanceof RequestNotAccepted) {
        throw error;
      }
      const failure = reasonOfError(error);
      noteFailure(failureKey, failure, began);
      throw new StatusError(failure);
    } finally {
      release(hasAnswered);
    }
  };

  return {
    fetch(url, request) {
      const { urgency = new Urgency(true) } = request;
      if (request.post !== undefined) {
        return ask(url, request, urgency);
      }
      // Callers share a request only within one authority: otherwise one of another authority would wait for
      // the place of the authority that asked first.
      const key = `${request.authority ?? ''} ${request.etag ?? ''} ${url}`;
      const known = underWay.get(key);
      const ofAll = known?.urgency ?? new Urgency(urgency.isUrgent);
      const answer = known?.answer ?? ask(url, request, ofAll).finally(() => underWay.delete(key));
      underWay.set(key, { answer, urgency: ofAll });
      urgency.whenUrgent(() => ofAll.begin());
      return answer;
    },
    close() {
      isClosed = true;
      places.close();
      for (const request of requests) {
        request.destroy();
      }
    },
  };
}

/** A question by GET that has no answer yet. */
interface UnderWay {
  readonly answer: Promise<StatusBody | 'unchanged'>;
  /** Urgent if one of the callers that share the answer waits for it. */
  readonly urgency: Urgency;
}

/** The server gave an answer that can't be used. */
class AnswerNotUsable extends StatusError {}

/**
 * The server works, and does not accept this request. Another certificate's request to the same
 * responder may be accepted.
 */
class RequestNotAccepted extends AnswerNotUsable {}

const closed: StatusReason = { code: 'unreadable', why: 'closed' };

/** Why a URL must not be asked, before its name is resolved. */
function explainForbidden(text: string, origins: readonly string[] | undefined): StatusReason | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || hasUserInfo(text)) {
    return { code: 'unreadable', why: 'it is no http or https URL without user name' };
  }
  if (origins !== undefined) {
    return origins.includes(url.origin) ? undefined : notInOrigins;
  }
  if (url.protocol === 'https:') {
    return httpsNotNamed;
  }
  // Node does not resolve an address, so that `lookup` would not see it.
  const address = url.hostname.replace(/^\[|\]$/g, '');
  return isIP(address) !== 0 && !isPermittedAddress(address) ? leadsToThisHost : undefined;
}

const notInOrigins: StatusReason = { code: 'origin_not_permitted', why: 'its origin is not in origins' };

/**
 * Node would verify the chain of a server that a certificate names, and OpenSSL can need seconds for one.
 * RFC 5280 §8 advises authorities against such URLs.
 */
const httpsNotNamed: StatusReason = {
  code: 'origin_not_permitted',
  why: 'it is an https URL (RFC 5280 §8 advises against them), name its origin in origins to ask it',
};

const leadsToThisHost: StatusReason = {
  code: 'origin_not_permitted',
  why: 'it leads to this host, its link or a service of its cloud, name its origin in origins',
};

function exchange(
  url: string,
  { accept, maxSize, etag, post }: StatusRequest,
  { timeout, ca }: FetchRules,
  lookup: http.RequestOptions['lookup'],
  requests: Set<http.ClientRequest>,
): Promise<StatusBody | 'unchanged'> {
  return new Promise((resolve, reject) => {
    const sender = new URL(url).protocol === 'https:' ? https : http;
    const request = sender.request(url, {
      method: post === undefined ? 'GET' : 'POST',
      headers: {
        accept,
        'user-agent': 'mtls-bound',
        ...(etag !== undefined && { 'if-none-match': etag }),
        ...(post && { 'content-type': post.type, 'content-length': post.body.length }),
      },
      // A connection of its own, which is closed behind the answer: it is needed once in minutes.
      agent: false,
      lookup,
      ...(ca !== undefined && { ca }),
    });
    const fail = (error: StatusError): void => {
      reject(error);
      request.destroy();
    };
    // After a stall of this process the timer fires first, though the answer may have arrived.
    const tooLate = new StatusError({ code: 'unreachable', why: `no answer within ${timeout} s` });
    const timer = setTimeout(() => setImmediate(fail, tooLate), timeout * 1_000);
    requests.add(request);
    request.once('close', () => {
      clearTimeout(timer);
      requests.delete(request);
      // Whatever ended the request: a promise that is settled already stays as it is.
      reject(new StatusError({ code: 'unreachable', why: 'the answer ended early' }));
    });
    request.on('error', (error) => reject(error));
    // A refresh in the background keeps no process alive.
    timer.unref();
    request.once('socket', (socket) => socket.unref());
    let interim = 0;
    request.on('information', () => {
      interim += 1;
      if (interim > MAX_INTERIM_ANSWERS) {
        fail(new AnswerNotUsable(tooManyInterim));
      }
    });
    request.once('response', (response) => {
      if (response.statusCode === 304 && etag !== undefined) {
        resolve('unchanged');
        response.resume();
        return;
      }
      const reason = explainHead(response, maxSize);
      if (reason !== undefined) {
        const { statusCode = 0 } = response;
        const isNotAccepted =
          post !== undefined && statusCode >= 400 && statusCode < 500 && statusCode !== 429;
        fail(isNotAccepted ? new RequestNotAccepted(reason) : new AnswerNotUsable(reason));
        return;
      }
      const body = new BodyBuffer(maxSize);
      response.on('data', (chunk: Buffer) => {
        const fault = body.add(chunk);
        // Each chunk may have an extension, which is no part of the body.
        const isWasteful = (request.socket?.bytesRead ?? 0) > mostOnTheWire(maxSize);
        if (fault !== undefined || isWasteful) {
          fail(new AnswerNotUsable(fault === 'too_large' ? tooLarge(maxSize) : tooManyChunks));
        }
      });
      response.on('error', (error) => reject(error));
      response.once('end', () => {
        if (response.complete) {
          resolve({ body: body.toBuffer(), etag: readEtag(response) });
        }
      });
    });
    request.end(post?.body);
  });
}

function explainHead(
  { statusCode = 0, headers }: http.IncomingMessage,
  maxSize: number,
): StatusReason | undefined {
  if (statusCode >= 300 && statusCode < 400) {
    return { code: 'unreachable', why: `status ${statusCode}, and redirects are not followed` };
  }
  if (statusCode !== 200) {
    return { code: 'unreachable', why: `status ${statusCode}` };
  }
  if (Number(headers['content-length'] ?? 0) > maxSize) {
    return tooLarge(maxSize);
  }
  return /^(?:identity)?$/i.test(headers['content-encoding'] ?? '')
    ? undefined
    : { code: 'unreadable', why: 'its body is compressed' };
}

/** RFC 9110 §8.8.3, printable ASCII alone. */
function readEtag({ headers }: http.IncomingMessage): string | undefined {
  const { etag = '' } = headers;
  return /^(?:W\/)?"[\x21\x23-\x7e]{0,200}"$/.test(etag) ? etag : undefined;
}

const tooManyInterim: StatusReason = {
  code: 'unreadable',
  why: `more than ${MAX_INTERIM_ANSWERS} interim answers (1xx) came before the answer`,
};

const tooManyChunks: StatusReason = { code: 'too_large', why: 'its body comes in too many small chunks' };

function tooLarge(maxSize: number): StatusReason {
  return { code: 'too_large', why: `its body has more than ${maxSize} bytes` };
}
