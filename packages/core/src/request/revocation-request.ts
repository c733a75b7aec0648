import { RequestRefused } from '../errors.js';
import { couldMatch } from '../revocation-forms.js';
import type { NodeRequest } from './bearer-token.js';

/** Bytes. A token and its name fit many times. */
const MAX_BODY = 65_536;

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

/**
 * Reads the form of a body. What is too long is read on and dropped: an iterator that ends early would destroy the request,
 * and an access log that looks at its connection would throw.
 */
function formIn(req: NodeRequest): Promise<[string, unknown][]> {
  if (req.readableEnded || req.destroyed) {
    return Promise.resolve([]);
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
        reject(malformed('its body is too large'));
      }
    });
    req.once('end', () => resolve([...new URLSearchParams(Buffer.concat(chunks).toString())]));
    const onGone = () => reject(malformed('the client went away'));
    req.on('error', onGone).once('close', onGone).once('aborted', onGone);
    // A middleware before may have paused it.
    req.resume();
  });
}

function malformed(detail: string): RequestRefused {
  return new RequestRefused('revocation_malformed', { detail });
}
