import { RequestRefused } from '../errors.js';
import { couldMatch } from '../revocation-forms.js';
import type { NodeRequest } from './bearer-token.js';

/** Bytes. A token and its name fit many times. */
const MAX_BODY = 65_536;

/** Milliseconds. A form fits into a few packets; Node's own limit, `requestTimeout`, is five minutes unless changed. */
const MAX_TIME = 10_000;

/** What a parameter revokes. `token` is RFC 7009's own (§2.1), the others are ours. */
const parameters = {
  token: 'token',
  token_hash: 'tokenHash',
  jti: 'jti',
  sub: 'subject',
  client_id: 'clientId',
  sid: 'session',
  'x5t#S256': 'thumbprint',
} as const;

type Parameter = keyof typeof parameters;

/**
 * Reads a revocation request (RFC 7009 §2.1): a form by POST with one parameter that says what is revoked;
 * `token_type_hint` may stand beside it. Throws `RequestRefused` for anything else.
 *
 * @param body what a form parser made of the body, when one ran before
 */
export async function readRevocationRequest(
  req: NodeRequest,
  body: unknown,
): Promise<{ readonly [kind: string]: string }> {
  const isForm = req.headers['content-type']?.toLowerCase().startsWith('application/x-www-form-urlencoded');
  if (req.method !== 'POST' || !isForm) {
    throw malformed('it is no form by POST');
  }
  const parsed = typeof body === 'object' && body !== null ? Object.entries(body) : [];
  // body-parser 1 gives an empty object for what it left unread.
  const form = parsed.length > 0 ? parsed : await formIn(req);
  const named = form.filter(([name]) => Object.hasOwn(parameters, name));
  const [[name, value] = []] = named;
  if (typeof value !== 'string' || value === '' || named.length > 1) {
    throw malformed(`it does not have exactly one of ${Object.keys(parameters).join(', ')}`);
  }
  const kind = parameters[name as Parameter];
  if (!couldMatch(kind, value)) {
    throw malformed(`${name} is not in a form that a token could have`);
  }
  return { [kind]: value };
}

/** Requests whose form did not end in time. */
const unending = new WeakSet<NodeRequest>();

/**
 * Returns whether the answer must close the connection: the form over HTTP/1 did not end in time, and the rest of it would keep
 * the connection open. HTTP/2 ends the stream of the one request.
 */
export function mustClose(req: NodeRequest): boolean {
  return unending.has(req) && req.httpVersionMajor === 1;
}

/**
 * Reads the form of a body. What is too long is read on and dropped, for as long as a form may take: an iterator that ends early
 * would destroy the request, and an access log that looks at its connection would throw.
 */
function formIn(req: NodeRequest): Promise<[string, unknown][]> {
  if (req.readableEnded || req.destroyed) {
    return Promise.resolve([]);
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const isTooLong = (): boolean => size > MAX_BODY;
    const onData = (chunk: Buffer | string): void => {
      const bytes = Buffer.from(chunk as string);
      size += bytes.length;
      if (!isTooLong()) {
        chunks.push(bytes);
        return;
      }
      chunks.length = 0;
      reject(malformed('its body is too large'));
    };
    const onEnd = (): void => {
      stop();
      resolve([...new URLSearchParams(Buffer.concat(chunks).toString())]);
    };
    const onGone = (): void => {
      stop();
      reject(malformed('the client went away'));
    };
    const onLate = (): void => {
      stop();
      if (isTooLong()) {
        // It was answered long ago.
        req.socket?.destroy();
        return;
      }
      unending.add(req);
      reject(malformed(`its body did not end within ${MAX_TIME / 1_000} s`));
    };
    const timer = setTimeout(onLate, MAX_TIME);
    const listeners = { data: onData, end: onEnd, error: onGone, close: onGone, aborted: onGone };
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

function malformed(detail: string): RequestRefused {
  return new RequestRefused('revocation_malformed', { detail });
}
