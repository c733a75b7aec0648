import { RequestRefused } from '../errors.js';
import { couldMatch } from '../revocation-forms.js';
import type { NodeRequest } from './bearer-token.js';
import { type BodyErrors, readRequestBody } from './request-body.js';

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

async function formIn(req: NodeRequest): Promise<[string, unknown][]> {
  return [...new URLSearchParams(await readRequestBody(req, bodyErrors))];
}

const bodyErrors: BodyErrors = {
  tooLarge: () => malformed('its body is too large'),
  gone: () => malformed('the client went away'),
  late: () => malformed('its body did not end within 10 s'),
};

function malformed(detail: string): RequestRefused {
  return new RequestRefused('revocation_malformed', { detail });
}
