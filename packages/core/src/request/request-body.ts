import { isUint8Array } from 'node:util/types';
import { TellableError } from '../errors.js';
import type { HttpAnswer } from '../response/http-answer.js';
import { BodyBuffer } from '../shared/body-buffer.js';
import { mediaTypeOf } from '../shared/media-type.js';
import { headerValues } from './header-lines.js';
import { http2StreamOf } from './http2-request.js';
import type { NodeRequest } from './node-request.js';

/** Bytes. A form or a Security Event Token fits many times. */
const MAX_BODY = 65_536;

/**
 * Milliseconds. A body fits into a few packets; Node's own limit, `requestTimeout`, is five minutes
 * unless changed.
 */
const MAX_TIME = 10_000;

/** Why a body could not be read, in words for the error of each reader. */
export type BodyErrors = Readonly<Record<'tooLarge' | 'gone' | 'late' | 'encoded' | 'charset', () => Error>>;

/** Requests whose body did not end in time, or is not read to its end. */
const unending = new WeakSet<NodeRequest>();

/**
 * Returns the answer. Over HTTP/1 it closes the connection if the body did not end in time or is not
 * read, as the rest of the body would keep the connection open. Over HTTP/2 the answer stays as it is:
 * only the stream of the request ends.
 */
export function withCloseIfBodyUnread(req: NodeRequest, answer: HttpAnswer): HttpAnswer {
  const mustClose = unending.has(req) && http2StreamOf(req) === undefined;
  return mustClose ? { ...answer, headers: { ...answer.headers, Connection: 'close' } } : answer;
}

/**
 * Reads the body of a request. Rejects with one of `errors` for a body that is compressed or in
 * another charset than UTF-8, that is too long or comes in too many small chunks, that ends early, or
 * that does not end in time, and with `TellableError` if another middleware reads it, has read a part of
 * it, or has set an encoding other than UTF-8. What is too long is read on and dropped, for as long as a
 * body may take: an iterator that ends early would destroy the request, and an access log that looks at
 * its connection would throw.
 */
export function readRequestBody(req: NodeRequest, errors: BodyErrors): Promise<string> {
  if (req.aborted) {
    // Over HTTP/2, Node then reads what is left of the body.
    return Promise.reject(errors.gone());
  }
  if (req.readableEnded) {
    return isSaidToBeEmpty(req) ? Promise.resolve('') : Promise.reject(readByAnother());
  }
  if (req.destroyed) {
    return Promise.reject(errors.gone());
  }
  if (req.readableDidRead || isTaken(req)) {
    endStreamWithAnswer(req);
    unending.add(req);
    return Promise.reject(readByAnother());
  }
  if (isEncoded(req)) {
    return Promise.reject(errors.encoded());
  }
  if (!isUtf8(req)) {
    return Promise.reject(errors.charset());
  }
  return new Promise((resolve, reject) => {
    const body = new BodyBuffer(MAX_BODY);
    let isTooLarge = false;
    const onData = (chunk: Buffer | string): void => {
      if (!isTooLarge && body.add(Buffer.from(chunk as string)) !== undefined) {
        isTooLarge = true;
        reject(errors.tooLarge());
      }
    };
    const onEnd = (): void => {
      stop();
      if (isTaken(req)) {
        reject(readByAnother());
      }
      resolve(body.toBuffer().toString());
    };
    const onGone = (): void => {
      stop();
      reject(errors.gone());
    };
    const onLate = (): void => {
      unending.add(req);
      const isHttp2 = endStreamWithAnswer(req);
      reject(isTaken(req) ? readByAnother() : errors.late());
      stop();
      if (!isHttp2 && isTooLarge) {
        // It was answered long ago.
        req.socket?.destroy();
      }
    };
    const total = <T extends unknown[]>(listener: (...args: T) => void) => orReject(listener, reject);
    const timer = setTimeout(total(onLate), MAX_TIME);
    const listeners = {
      data: total(onData),
      end: total(onEnd),
      error: total(onGone),
      close: total(onGone),
      aborted: total(onGone),
    };
    const stop = (): void => {
      clearTimeout(timer);
      for (const [event, listener] of Object.entries(listeners)) {
        req.removeListener(event, listener);
      }
      // What is left is dropped.
      req.on('error', () => undefined);
      req.resume();
    };
    for (const [event, listener] of Object.entries(listeners)) {
      req.on(event, listener);
    }
    // A middleware before may have paused it.
    req.resume();
  });
}

/**
 * Returns the media type of a request's body, as `mediaTypeOf()` does; an empty text if
 * `Content-Type` is repeated, of which each reader takes another one.
 */
export function mediaTypeOfRequest(req: NodeRequest): string {
  return headerValues(req, 'content-type').length > 1 ? '' : mediaTypeOf(req.headers['content-type']);
}

/**
 * Returns the text of a body that a parser of texts or bytes has read, and `undefined` for what
 * another parser made of it. Throws one of `errors` for bytes in another charset than UTF-8. A
 * parser of texts has read the charset itself, and each parser the encoding.
 */
export function textOfParsedBody(body: unknown, req: NodeRequest, errors: BodyErrors): string | undefined {
  if (isUint8Array(body)) {
    if (!isUtf8(req)) {
      throw errors.charset();
    }
    return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
  }
  return typeof body === 'string' ? body : undefined;
}

/** Whether the body is compressed, by its content coding (RFC 9110 §8.4) or its transfer coding. */
function isEncoded(req: NodeRequest): boolean {
  const codingsOf = (name: string) =>
    headerValues(req, name)
      .join()
      .toLowerCase()
      .split(',')
      .map((coding) => coding.trim());
  return (
    codingsOf('content-encoding').some((coding) => !['', 'identity'].includes(coding)) ||
    codingsOf('transfer-encoding').some((coding) => !['', 'chunked'].includes(coding))
  );
}

/** Whether no `charset` of the `Content-Type` is another than UTF-8. */
function isUtf8(req: NodeRequest): boolean {
  return headerValues(req, 'content-type').every((line) =>
    line
      .toLowerCase()
      .split(';')
      .slice(1)
      .map((parameter) => parameter.replaceAll(/[\s"]/g, ''))
      .every((parameter) => !parameter.startsWith('charset') || utf8Charsets.has(parameter)),
  );
}

const utf8Charsets: ReadonlySet<string> = new Set(['charset=utf-8', 'charset=utf8']);

function isSaidToBeEmpty({ headers }: NodeRequest): boolean {
  return headers['content-length'] === '0';
}

/**
 * Whether the bytes of the body do not arrive here: a listener of `readable` keeps them, and
 * another encoding changes them.
 */
function isTaken(req: NodeRequest): boolean {
  const { readableEncoding } = req;
  return (
    req.listenerCount('readable') > 0 || (typeof readableEncoding === 'string' && readableEncoding !== 'utf8')
  );
}

function readByAnother(): TellableError {
  return new TellableError(
    'another middleware has read the body of the request, or a part of it, or has set its encoding; ' +
      'expected it unread, or as a text or bytes: ' +
      'register this route before body parsers',
  );
}

/**
 * Ends the stream of a request over HTTP/2 when its answer is sent: the server may do so though the
 * body has no end (RFC 9113 §8.1). Returns whether the request has a stream.
 */
function endStreamWithAnswer(req: NodeRequest): boolean {
  const stream = http2StreamOf(req);
  if (stream?.writableFinished === true) {
    stream.close();
  } else {
    stream?.once('finish', () => stream.close());
  }
  return stream !== undefined;
}

/**
 * Returns a listener that rejects with what `listener` throws. An error in a timer or in a listener
 * ends the process, and an application may change the members of a request.
 */
function orReject<T extends unknown[]>(
  listener: (...args: T) => void,
  reject: (reason: unknown) => void,
): (...args: T) => void {
  return (...args) => {
    try {
      listener(...args);
    } catch (thrown) {
      reject(thrown);
    }
  };
}
