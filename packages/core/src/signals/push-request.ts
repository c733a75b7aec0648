import { createHash, timingSafeEqual } from 'node:crypto';
import { headerValues } from '../request/header-lines.js';
import type { NodeRequest } from '../request/node-request.js';
import {
  type BodyErrors,
  mediaTypeOfRequest,
  readRequestBody,
  textOfParsedBody,
} from '../request/request-body.js';
import { EventTokenRefused } from './security-event-token.js';

/**
 * Refuses a request unless its one `Authorization` header is the secret that the transmitter was
 * given (SSF 1.0 §6.1.1). The comparison takes the same time for each value.
 */
export function requireSharedSecret(req: NodeRequest, expected: string): void {
  const given = headerValues(req, 'authorization');
  if (given.length !== 1 || !timingSafeEqual(digest(given[0] ?? ''), digest(expected))) {
    throw new EventTokenRefused('authentication_failed', 'The Authorization header is not the one agreed on');
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * Reads a pushed Security Event Token (RFC 8935 §2.1). Rejects with `EventTokenRefused` for another
 * request, and with another error if the body can't be read any more: the transmitter has to send
 * it again.
 *
 * @param body what a body parser made of the body, when one ran before
 */
export async function readPushedEventToken(req: NodeRequest, body: unknown): Promise<string> {
  if (req.method !== 'POST' || mediaTypeOfRequest(req) !== 'application/secevent+jwt') {
    throw new EventTokenRefused('invalid_request', 'A POST of the type application/secevent+jwt is expected');
  }
  return (textOfParsedBody(body, req, bodyErrors) ?? (await readRequestBody(req, bodyErrors))).trim();
}

const bodyErrors: BodyErrors = {
  tooLarge: () =>
    new EventTokenRefused(
      'invalid_request',
      'The body is larger than 65,536 bytes, or comes in too many small chunks',
    ),
  gone: () => new EventTokenRefused('invalid_request', 'The request ended early'),
  late: () => new EventTokenRefused('invalid_request', 'The body did not end within 10 seconds'),
  encoded: () => new EventTokenRefused('invalid_request', 'A body that is not compressed is expected'),
  charset: () => new EventTokenRefused('invalid_request', 'A body in UTF-8 is expected'),
};
