import * as http from 'node:http';
import * as https from 'node:https';
import { isIP } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { LRUCache } from 'lru-cache';
import limit from 'p-limit';
import { isTellable, TellableError } from '../errors.js';
import { describeError } from '../shared/shown-error.js';
import { hasUserInfo } from '../shared/shown-url.js';
import { guardedLookup, type ResolveHost } from './guarded-lookup.js';
import { isPermittedAddress } from './permitted-address.js';

/** Limits of the requests for lists and to responders. */
export interface FetchRules {
  /** Seconds for one request, with the body of its answer. */
  readonly timeout: number;
  /** The origins that may be asked, at any address. `undefined`: any, at permitted addresses. */
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
}

export interface StatusBody {
  readonly body: Buffer;
  /** Its ETag, if the server gave one. */
  readonly etag: string | undefined;
}

/** Fetches lists, and asks responders. */
export interface StatusFetcher {
  /**
   * Resolves with `unchanged` if the answer with `etag` is still the one. Rejects with why there is
   * no answer: a text that can be shown.
   */
  fetch(url: string, request: StatusRequest): Promise<StatusBody | 'unchanged'>;
  /** Ends all requests. */
  close(): void;
}

/** Requests that run at once. */
const MAX_CONCURRENT = 8;

/** URLs whose failures are remembered. */
const MAX_URLS = 1_000;

/** Seconds for which a URL is not asked after its first failure, and at most. */
const FIRST_REST = 1;
const LONGEST_REST = 60;

interface Failures {
  readonly count: number;
  readonly why: string;
  /** On the clock of `performance.now()`. */
  readonly until: number;
}

/**
 * Asks a URL by GET once at a time, however many callers want its answer. After a failure the URL
 * rests: for one second, and twice as long after each further one, up to a minute.
 *
 * @param resolveHost in place of `dns.lookup()`
 */
export function createStatusFetcher(rules: FetchRules, resolveHost?: ResolveHost): StatusFetcher {
  const run = limit(MAX_CONCURRENT);
  const failures = new LRUCache<string, Failures>({ max: MAX_URLS });
  const underWay = new Map<string, Promise<StatusBody | 'unchanged'>>();
  const requests = new Set<http.ClientRequest>();
  const lookup = guardedLookup(resolveHost);
  let isClosed = false;

  const ask = async (url: string, request: StatusRequest): Promise<StatusBody | 'unchanged'> => {
    const known = failures.get(url);
    if (known !== undefined && performance.now() < known.until) {
      throw new TellableError(`${known.why}; not asked again yet`);
    }
    try {
      if (isClosed) {
        throw new TellableError('closed');
      }
      const why = explainForbidden(url, rules.origins);
      if (why !== undefined) {
        throw new TellableError(why);
      }
      const found = await exchange(url, request, rules, lookup, requests);
      failures.delete(url);
      return found;
    } catch (error) {
      const why = isTellable(error) ? error.message : describeError(error);
      if (error instanceof RequestNotAccepted) {
        throw error;
      }
      const count = (failures.get(url)?.count ?? 0) + 1;
      const rest = Math.min(FIRST_REST * 2 ** (count - 1), LONGEST_REST);
      failures.set(url, { count, why, until: performance.now() + rest * 1_000 });
      throw new TellableError(why);
    }
  };

  return {
    fetch(url, request) {
      if (request.post !== undefined) {
        return run(ask, url, request);
      }
      const key = `${request.etag ?? ''} ${url}`;
      const shared = underWay.get(key);
      if (shared !== undefined) {
        return shared;
      }
      const started = run(ask, url, request).finally(() => underWay.delete(key));
      underWay.set(key, started);
      return started;
    },
    close() {
      isClosed = true;
      for (const request of requests) {
        request.destroy();
      }
    },
  };
}

/**
 * The server works, and does not accept this request. Another certificate's request to the same
 * responder may be accepted.
 */
class RequestNotAccepted extends TellableError {}

/** Why a URL must not be asked, before its name is resolved. */
function explainForbidden(text: string, origins: readonly string[] | undefined): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || hasUserInfo(text)) {
    return 'it is no http or https URL without user name';
  }
  if (origins !== undefined) {
    return origins.includes(url.origin) ? undefined : 'its origin is not in origins';
  }
  // Node does not resolve an address, so that `lookup` would not see it.
  const address = url.hostname.replace(/^\[|\]$/g, '');
  return isIP(address) !== 0 && !isPermittedAddress(address)
    ? 'it leads to this host, its link or a service of its cloud, name its origin in origins'
    : undefined;
}

function exchange(
  url: string,
  { accept, maxSize, etag, post }: StatusRequest,
  { timeout, origins, ca }: FetchRules,
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
      ...(origins === undefined && { lookup }),
      ...(ca !== undefined && { ca }),
    });
    const fail = (error: TellableError): void => {
      reject(error);
      request.destroy();
    };
    // After a stall of this process the timer fires first, though the answer may have arrived.
    const tooLate = new TellableError(`no answer within ${timeout} s`);
    const timer = setTimeout(() => setImmediate(fail, tooLate), timeout * 1_000);
    requests.add(request);
    request.once('close', () => {
      clearTimeout(timer);
      requests.delete(request);
      // Whatever ended the request: a promise that is settled already stays as it is.
      reject(new TellableError('the answer ended early'));
    });
    request.on('error', (error) => reject(error));
    // A refresh in the background keeps no process alive.
    timer.unref();
    request.once('socket', (socket) => socket.unref());
    request.once('response', (response) => {
      if (response.statusCode === 304 && etag !== undefined) {
        resolve('unchanged');
        response.resume();
        return;
      }
      const why = explainHead(response, maxSize);
      if (why !== undefined) {
        const { statusCode = 0 } = response;
        const isNotAccepted =
          post !== undefined && statusCode >= 400 && statusCode < 500 && statusCode !== 429;
        fail(isNotAccepted ? new RequestNotAccepted(why) : new TellableError(why));
        return;
      }
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > maxSize) {
          chunks.length = 0;
          fail(new TellableError(tooLarge(maxSize)));
        } else {
          chunks.push(chunk);
        }
      });
      response.on('error', (error) => reject(error));
      response.once('end', () => {
        if (response.complete && size <= maxSize) {
          resolve({ body: Buffer.concat(chunks, size), etag: readEtag(response) });
        }
      });
    });
    request.end(post?.body);
  });
}

function explainHead({ statusCode = 0, headers }: http.IncomingMessage, maxSize: number): string | undefined {
  if (statusCode >= 300 && statusCode < 400) {
    return `status ${statusCode}, and redirects are not followed`;
  }
  if (statusCode !== 200) {
    return `status ${statusCode}`;
  }
  if (Number(headers['content-length'] ?? 0) > maxSize) {
    return tooLarge(maxSize);
  }
  return /^(?:identity)?$/i.test(headers['content-encoding'] ?? '') ? undefined : 'its body is compressed';
}

/** RFC 9110 §8.8.3, printable ASCII alone. */
function readEtag({ headers }: http.IncomingMessage): string | undefined {
  const { etag = '' } = headers;
  return /^(?:W\/)?"[\x21\x23-\x7e]{0,200}"$/.test(etag) ? etag : undefined;
}

function tooLarge(maxSize: number): string {
  return `its body has more than ${maxSize} bytes`;
}
