import { RequestRefused } from '../errors.js';
import type { NodeRequest } from './bearer-token.js';

/** Bytes. A token and its name fit many times. */
const MAX_BODY = 65_536;

/** What a parameter revokes. `token` is RFC 7009's own (§2.1), the others are ours. */
const parameters = {
  token: 'token',
  token_hash: 'tokenHash',
  sub: 'subject',
  client_id: 'clientId',
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
  return { [parameters[name as Parameter]]: value };
}

async function formIn(req: NodeRequest): Promise<[string, unknown][]> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > MAX_BODY) {
      throw malformed('its body is too large');
    }
    chunks.push(Buffer.from(chunk));
  }
  return [...new URLSearchParams(Buffer.concat(chunks).toString())];
}

function malformed(detail: string): RequestRefused {
  return new RequestRefused('revocation_malformed', { detail });
}
