import { createHash, timingSafeEqual } from 'node:crypto';
import type { NodeRequest } from '../request/bearer-token.js';
import { SetRefused } from './security-event-token.js';

/** Bytes of a request. */
const MAX_BODY = 65_536;

/**
 * Refuses a request unless its one `Authorization` header is the secret that the transmitter was given (SSF 1.0 §6.1.1). The
 * comparison takes the same time for each value.
 */
export function requireAuthorization(req: NodeRequest, expected: string): void {
  const given = req.rawHeaders.filter(
    (_, i) => i % 2 === 1 && req.rawHeaders[i - 1]?.toLowerCase() === 'authorization',
  );
  if (given.length !== 1 || !timingSafeEqual(digest(given[0] ?? ''), digest(expected))) {
    throw new SetRefused('authentication_failed', 'The Authorization header is not the one agreed on');
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * Reads a pushed Security Event Token (RFC 8935 §2.1). Rejects with `SetRefused` for another request.
 *
 * @param body what a body parser made of the body, when one ran before
 */
export async function readPushedSet(req: NodeRequest, body: unknown): Promise<string> {
  const [type = ''] = (req.headers['content-type'] ?? '').split(';');
  if (req.method !== 'POST' || type.trim().toLowerCase() !== 'application/secevent+jwt') {
    throw new SetRefused('invalid_request', 'A POST of the type application/secevent+jwt is expected');
  }
  if (typeof body === 'string' || Buffer.isBuffer(body)) {
    return body.toString().trim();
  }
  return (await bodyOf(req)).trim();
}

/** Reads what is too long to its end and drops it, so that the transmitter gets the answer. */
function bodyOf(req: NodeRequest): Promise<string> {
  if (req.readableEnded || req.destroyed) {
    return Promise.resolve('');
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    req.on('data', (chunk: Buffer | string) => {
      const bytes = Buffer.from(chunk as string);
      size += bytes.length;
      if (size <= MAX_BODY) {
        chunks.push(bytes);
      } else {
        chunks.length = 0;
        reject(new SetRefused('invalid_request', 'The body is larger than 65,536 bytes'));
      }
    });
    req.once('end', () => resolve(Buffer.concat(chunks).toString()));
    const onGone = (): void => reject(new SetRefused('invalid_request', 'The request ended early'));
    req.on('error', onGone).once('close', onGone).once('aborted', onGone);
    // A middleware before may have paused it.
    req.resume();
  });
}
