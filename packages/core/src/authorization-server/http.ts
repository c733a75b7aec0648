import { Readable } from 'node:stream';
import { setImmediate as untilNextLoop } from 'node:timers/promises';
import type { SecureContextOptions } from 'node:tls';
import { types } from 'node:util';
import { isTellable, RequestRefused, TellableError } from '../errors.js';
import { BodyBuffer, type BodyFault } from '../shared/body-buffer.js';
import { Deadline, giveUpWhenOver, TimeIsOver, withDeadline } from '../shared/deadline.js';
import { ignoreRejection, isPromise } from '../shared/promises.js';
import { describeError, describeErrorCode } from '../shared/shown-error.js';
import { redactUrl } from '../shared/shown-url.js';
import { nodeFetch } from './lazy-modules.js';
import type { CertificateAndKey, ReadCertificateAndKey } from './own-certificate.js';
import { type AgentFactory, createPool, type Pool, type PooledExchange } from './pool.js';
import type { RequesterFacts } from './requester.js';
import { createWholeAnswer } from './whole-answer.js';

/** Limits and settings of the requests that your API sends to the authorization server. */
export interface HttpRules {
  /**
   * Seconds for one question, with its credentials, the wait for a place, its retries, and the
   * body of its answer.
   */
  readonly timeout: number;
  /** Bytes of an answer's body, after decompression. */
  readonly maxResponseSize: number;
  /** PEM certificates trusted instead of Node's own list. */
  readonly ca: SecureContextOptions['ca'];
  /** The user's own connections, for a way through an HTTP proxy. */
  readonly agent: AgentFactory | undefined;
  /** The user's own transport, in place of node-fetch and of all that concerns connections. */
  readonly fetch: typeof globalThis.fetch | undefined;
}

/** A request of this API to an authorization server: what oauth4webapi sets, and what this package adds. */
export interface OutgoingRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: URLSearchParams | string | null | undefined;
  /**
   * Aborts the request with the question that it belongs to. Default: the request has `http.timeout`
   * for itself.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether an earlier attempt of the same question failed, and counts for the circuit breaker.
   * Default `false`.
   */
  readonly wasCounted?: boolean;
  /** The requester that a `TokenReader` was called with. Default: no client caused this request. */
  readonly requester?: RequesterFacts | undefined;
}

/** A request that belongs to a question, whose deadline it has. */
export interface RequestWithDeadline extends OutgoingRequest {
  readonly deadline: Deadline;
}

/** Sends one request and resolves with the whole answer; rejects with `RequestRefused`. */
export type Http = (url: string, request: OutgoingRequest) => Promise<Response>;

/**
 * Thrown when a connection that an earlier exchange had used broke, or stayed silent. This says
 * nothing about the server: the connection may have been dead for long.
 */
export class StaleConnection extends RequestRefused {}

/**
 * Thrown if the certificate of the server was not accepted. Another attempt would only cost another
 * handshake.
 */
export class UntrustedServer extends RequestRefused {}

/**
 * node-fetch over kept-alive connections. The answer is read to its end here, within the time and
 * size limits, so that no caller handles a stream. Redirects are not followed: a token would be
 * sent on (RFC 9700 §4.12).
 */
export function createHttpClient(
  rules: HttpRules,
  identity?: ReadCertificateAndKey,
): { readonly send: Http; readonly close: () => void } {
  const { timeout, maxResponseSize, ca } = rules;
  const pool = createPool(ca, rules.agent);
  const send =
    rules.fetch === undefined
      ? sentByNodeFetch(pool, maxResponseSize, identity)
      : sentBy(rules.fetch, maxResponseSize);
  return {
    send: (url, request) =>
      withRequestDeadline(timeout, request, async (questionRequest) => {
        try {
          if (questionRequest.deadline.isOver) {
            throw new TimeIsOver();
          }
          return await send(url, questionRequest);
        } catch (error) {
          throw toServerTrouble(error, url, questionRequest.deadline.isOver, rules);
        }
      }),
    close: pool.close,
  };
}

/** Runs `work` by the deadline of the request's question, or by one of its own. */
export function withRequestDeadline<T>(
  timeout: number,
  request: OutgoingRequest,
  work: (request: RequestWithDeadline) => Promise<T>,
): Promise<T> {
  if ('deadline' in request && Deadline.isDeadline(request.deadline)) {
    return work(request as RequestWithDeadline);
  }
  return withDeadline(request.signal ?? timeout, (deadline) =>
    work(new QuestionRequest({ ...request, deadline })),
  );
}

/** A request that belongs to a question. Its signal is that of the deadline, made when it is read. */
export class QuestionRequest implements RequestWithDeadline {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: OutgoingRequest['body'];
  readonly wasCounted: boolean;
  readonly requester: RequesterFacts | undefined;
  readonly deadline: Deadline;

  constructor(request: Omit<RequestWithDeadline, 'signal'>) {
    this.method = request.method;
    this.headers = request.headers;
    this.body = request.body;
    this.wasCounted = request.wasCounted === true;
    // A changed `Object.prototype` names no client.
    this.requester = Object.hasOwn(request, 'requester') ? request.requester : undefined;
    this.deadline = request.deadline;
  }

  get signal(): AbortSignal {
    return this.deadline.signal;
  }
}

type Send = (url: string, request: RequestWithDeadline) => Promise<Response>;

function sentByNodeFetch(pool: Pool, maxResponseSize: number, identity?: ReadCertificateAndKey): Send {
  nodeFetch.preload();
  return async (url, { method, headers, body = null, deadline }) => {
    const { default: fetch } = nodeFetch.loaded() ?? (await nodeFetch.load());
    const certificate = identity && (await ownCertificate(identity, deadline));
    if (deadline.isOver) {
      throw new TimeIsOver();
    }
    const exchange = pool.start(certificate, (agent) =>
      fetch(url, { method, headers, body, redirect: 'manual', agent }),
    );
    let hasAnswered = false;
    try {
      return await giveUpWhenOver(deadline, async () => {
        const answer = await exchange.result;
        hasAnswered = true;
        const bytes = await readStream(answer.body, maxResponseSize);
        return createWholeAnswer(answer.status, answer.headers, bytes, url);
      });
    } catch (error) {
      exchange.abort();
      throw hasAnswered
        ? error
        : (exchange.trouble() ?? toStaleConnection(error, url, exchange, deadline.isOver));
    }
  };
}

/**
 * Returns the error to throw for a request that got no answer: a `StaleConnection` if its connection had
 * been used before and may have been dead, and `error` itself otherwise. If several used connections stay
 * silent at the same time, the first counts as a timeout of the server, which itself may be silent.
 */
function toStaleConnection(
  error: unknown,
  url: string,
  exchange: PooledExchange<unknown>,
  timedOut: boolean,
): unknown {
  const isBroken = fetchErrorType(error) === 'system';
  if (!exchange.wasReused() || !(isBroken || timedOut)) {
    return error;
  }
  const isFirst = exchange.dropIdle();
  if (timedOut && isFirst) {
    return error;
  }
  const { code, detail } = toServerTrouble(error, url, timedOut, {});
  return new StaleConnection(code, { detail: `${detail} (over a connection that had been used before)` });
}

/**
 * Reads the body of an answer of node-fetch. The methods of node-fetch would copy it twice, and would
 * notice too many bytes no sooner.
 */
function readStream(body: NodeJS.ReadableStream | null, maxSize: number): Promise<Buffer<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    if (!(body instanceof Readable)) {
      resolve(Buffer.alloc(0));
      return;
    }
    const read = new BodyBuffer(maxSize);
    const fail = (): void => {
      if (!body.readableEnded) {
        reject(isDecompressionError(body.errored) ? new BadlyCompressed() : new BrokenBody(body.errored));
      }
    };
    body.on('data', (chunk: Buffer) => {
      const fault = read.add(chunk);
      if (fault !== undefined) {
        reject(new BodyNotAccepted(fault));
        body.destroy();
      }
    });
    body.once('end', () => resolve(read.toBuffer()));
    // 'close' also follows 'error' and 'end': then `fail` changes nothing.
    body.once('close', fail);
    body.once('error', fail);
    if (body.destroyed) {
      fail();
    }
  });
}

/** The connection is good: the next answer may be too. */
class BadlyCompressed extends TellableError {
  constructor() {
    super('the body could not be decompressed');
  }
}

/** Codes of zlib and of Brotli. */
function isDecompressionError(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^(?:Z_|ERR__ERROR_|ERR_BROTLI_|ERR_ZLIB_)/.test(code);
}

/** The connection broke. */
class BrokenBody extends Error {
  readonly code: string;

  constructor(cause: unknown) {
    super('the body ended early', { cause });
    this.code = describeErrorCode(cause) ?? 'ERR_STREAM_PREMATURE_CLOSE';
  }
}

/** Sends with the user's `fetch`: follows no redirect, and counts the bytes of the body as they come. */
function sentBy(userFetch: typeof globalThis.fetch, maxResponseSize: number): Send {
  return (url, { method, headers, body = null, deadline }) =>
    giveUpWhenOver(deadline, async () => {
      const { signal } = deadline;
      const answer = await callFetch(userFetch, url, { method, headers, body, redirect: 'manual', signal });
      const { status, headers: answered, body: answeredBody } = answer;
      ignoreErrorsOf(answeredBody);
      refusePromises(url, { status, headers: answered, body: answeredBody });
      const read = await readBody(answeredBody, maxResponseSize, deadline);
      return createWholeAnswer(Math.trunc(Number(status)), new Headers(answered), read, url);
    });
}

/** A stream of Node that fails where it is not read would end the process. */
function ignoreErrorsOf(body: unknown): void {
  const stream = body as { on?: unknown } | null | undefined;
  if (typeof stream?.on === 'function') {
    ignoreRejection(stream.on('error', () => undefined));
  }
}

/** Throws if a member is a promise. The rejection of each is handled. */
function refusePromises(url: string, members: Readonly<Record<string, unknown>>): void {
  const [name] = Object.keys(members).filter((member) => isPromise(members[member]));
  if (name !== undefined) {
    const detail = `http.fetch gave an answer from ${redactUrl(url)} whose ${name} is a promise`;
    throw new RequestRefused('authorization_server_invalid_answer', { detail });
  }
}

async function callFetch(
  userFetch: typeof globalThis.fetch,
  url: string,
  request: RequestInit,
): Promise<Response> {
  try {
    return await userFetch(url, request);
  } catch (error) {
    // The message may quote the request.
    const detail = `http.fetch brought no answer from ${redactUrl(url)}: ${describeError(error)}`;
    throw new RequestRefused('authorization_server_unreachable', { detail });
  }
}

/** Chunks of a body that are read before other work of the event loop runs. */
const CHUNKS_IN_A_LOOP = 1_000;

/** `http.maxResponseSize` does not bound them. */
const MAX_EMPTY_CHUNKS = 10_000;

async function readBody(
  body: AsyncIterable<Uint8Array> | null,
  maxSize: number,
  deadline: Deadline,
): Promise<Buffer<ArrayBuffer>> {
  const read = new BodyBuffer(maxSize);
  let count = 0;
  let emptyCount = 0;
  for await (const chunk of body ?? []) {
    count += 1;
    if (count % CHUNKS_IN_A_LOOP === 0) {
      // Chunks that are there at once would keep the timer of the deadline, and all other requests,
      // waiting.
      await untilNextLoop();
    }
    if (isPromise(chunk) || !types.isUint8Array(chunk)) {
      throw new TellableError('a chunk of the body is no Uint8Array');
    }
    if (deadline.isOver) {
      break;
    }
    if (chunk.length === 0) {
      emptyCount += 1;
      if (emptyCount > MAX_EMPTY_CHUNKS) {
        throw new TellableError(`the body has more than ${MAX_EMPTY_CHUNKS} empty chunks`);
      }
      continue;
    }
    const fault = read.add(chunk);
    if (fault !== undefined) {
      throw new BodyNotAccepted(fault);
    }
  }
  return read.toBuffer();
}

class BodyNotAccepted extends Error {
  readonly fault: BodyFault;

  constructor(fault: BodyFault) {
    super();
    this.fault = fault;
  }
}

/** Returns the `type` of an error of node-fetch, and `undefined` for any other error. */
function fetchErrorType(error: unknown): string | undefined {
  const library = nodeFetch.loaded();
  return library !== undefined && error instanceof library.FetchError ? error.type : undefined;
}

/** A missing client certificate is a failure of this API, not of the authorization server. */
async function ownCertificate(
  identity: ReadCertificateAndKey,
  deadline: Deadline,
): Promise<CertificateAndKey> {
  try {
    return await giveUpWhenOver(deadline, identity);
  } catch (error) {
    if (error instanceof RequestRefused) {
      throw error;
    }
    const why = deadline.isOver ? 'came in time' : `can be had: ${describeError(error)}`;
    throw new OwnCertificateTrouble('internal_error', { detail: `no certificate of this API ${why}` });
  }
}

/** Keeps its code even when the time is up. */
class OwnCertificateTrouble extends RequestRefused {}

/** What OpenSSL says of a chain that ends in an authority it does not know. */
export const unknownCaCodes: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

/** What to do if `http.ca` is set, but the server's certificate is from another authority. */
export const authorityNotAmongOurs =
  'http.ca or MTLS_BOUND_CA_FILE, which count alone, do not name its authority: add the PEM of the ' +
  'authority, or let the server send the certificates between';

/** What OpenSSL says of a certificate that it does not accept, and Node of one for another host. */
const certificateCode =
  /^(?:UNABLE_TO|CERT|CRL|ERROR_IN|DEPTH_ZERO|SELF_SIGNED|INVALID|HOSTNAME|PATH_LENGTH|ERR_TLS_CERT)_/;

/** What to do about a connection that failed, as far as the options show. */
function adviceFor(code: string, { ca, agent }: Partial<HttpRules>): string {
  if (unknownCaCodes.has(code)) {
    if (ca === undefined) {
      return '; give the PEM of its authority to http.ca or MTLS_BOUND_CA_FILE';
    }
    return agent === undefined
      ? `; ${authorityNotAmongOurs}`
      : '; http.ca names authorities, so the agent from http.agent may not pass it on to the ' +
          'connection within its tunnel';
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return (
      "; the server's certificate does not name this host: let the URL use a name that it has, or ask the " +
      'operator of the server for a certificate with this name'
    );
  }
  const { HTTPS_PROXY, https_proxy = HTTPS_PROXY } = process.env;
  return agent === undefined && https_proxy
    ? '; HTTPS_PROXY is set in the environment, and not used: set http.agent for a way through an HTTP proxy'
    : '';
}

function toServerTrouble(
  error: unknown,
  url: string,
  timedOut: boolean,
  rules: Partial<HttpRules>,
): RequestRefused {
  const server = redactUrl(url);
  if (error instanceof StaleConnection || error instanceof OwnCertificateTrouble) {
    return error;
  }
  if (timedOut) {
    const detail = `no answer in time from ${server}${adviceFor('', rules)}`;
    return new RequestRefused('authorization_server_timeout', { detail });
  }
  if (error instanceof RequestRefused) {
    return error;
  }
  if (fetchErrorType(error) === 'system' || error instanceof BrokenBody) {
    const code = describeErrorCode(error) ?? 'it broke';
    const detail = `no connection to ${server}: ${code}${adviceFor(code, rules)}`;
    const Refusal = certificateCode.test(code) ? UntrustedServer : RequestRefused;
    return new Refusal('authorization_server_unreachable', { detail });
  }
  const detail = `an unusable answer from ${server}: ${explainUnusable(error)}`;
  return new RequestRefused('authorization_server_invalid_answer', { detail });
}

/**
 * Too large, badly compressed, or a status that no final answer has. A message may quote the URL or
 * the body.
 */
function explainUnusable(error: unknown): string {
  if (error instanceof BodyNotAccepted) {
    return error.fault === 'too_large'
      ? 'the body is larger than http.maxResponseSize'
      : 'the body comes in too many small chunks for http.maxResponseSize';
  }
  return isTellable(error) ? error.message : describeError(error);
}
