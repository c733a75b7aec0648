import { RequestRefused } from '../errors.js';
import type { NodeRequest } from '../request/node-request.js';
import {
  type BodyErrors,
  mediaTypeOfRequest,
  readRequestBody,
  textOfParsedBody,
} from '../request/request-body.js';
import { formType } from '../shared/media-type.js';
import { couldMatch } from './revocation-kinds.js';

/** What a parameter revokes. RFC 7009 §2.1 defines `token`, this package the others. */
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
 * Reads a revocation request (RFC 7009 §2.1): a form by POST with one parameter that says what is
 * revoked; `token_type_hint` may stand next to it. Throws `RequestRefused` for anything else.
 *
 * @param body what a parser made of the body, when one ran before: the parameters, a text or bytes
 */
export async function readRevocationRequest(
  req: NodeRequest,
  body: unknown,
): Promise<{ readonly [kind: string]: string }> {
  if (req.method !== 'POST' || mediaTypeOfRequest(req) !== formType) {
    throw malformed('it is no form by POST');
  }
  const text = textOfParsedBody(body, req, bodyErrors);
  const isObject = text === undefined && typeof body === 'object' && body !== null;
  const parsed = isObject ? Object.entries(body) : [];
  // body-parser 1 gives an empty object for what it left unread.
  const isEmptyForm = isObject && req.readableEnded;
  // A text is of this body only if that was read.
  const read = req.readableEnded ? text : undefined;
  const form =
    parsed.length > 0 || isEmptyForm ? parsed : formIn(read ?? (await readRequestBody(req, bodyErrors)));
  const named = form.filter(([name]) => Object.hasOwn(parameters, name));
  const [[name, value] = []] = named;
  if (typeof value !== 'string' || value === '' || named.length > 1) {
    throw malformed(`it does not have exactly one of ${Object.keys(parameters).join(', ')}`);
  }
  if (parsed.length > 0 && mayBeUndecoded(value)) {
    throw malformed(`${name} is not in UTF-8, or a percent sign in it could not be decoded`);
  }
  const kind = parameters[name as Parameter];
  if (!couldMatch(kind, value)) {
    throw malformed(`${name} is not in a form that a token could have`);
  }
  return { [kind]: value };
}

function formIn(body: string): [string, string][] {
  // Bytes that are no UTF-8 were replaced.
  if (body.includes('\u{fffd}')) {
    throw malformed('its body is not in UTF-8');
  }
  return body
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [name = ''] = pair.split('=', 1);
      return [decodeFormText(name), decodeFormText(pair.slice(name.length + 1))];
    });
}

/**
 * `URLSearchParams` replaces what it can't decode: another name than the client's would be revoked.
 */
function decodeFormText(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw malformed('its percent-encoding is not that of UTF-8');
  }
}

/** Form parsers leave what they can't decode as it is, or replace it. */
function mayBeUndecoded(value: string): boolean {
  try {
    decodeURIComponent(value);
    return value.includes('\u{fffd}');
  } catch {
    return true;
  }
}

const bodyErrors: BodyErrors = {
  tooLarge: () => malformed('its body is too large, or comes in too many small chunks'),
  gone: () => malformed('the client went away'),
  late: () => malformed('its body did not end within 10 s'),
  encoded: () => malformed('its body is compressed (Content-Encoding, Transfer-Encoding)'),
  charset: () => malformed('the charset in its Content-Type is not UTF-8'),
};

function malformed(detail: string): RequestRefused {
  return new RequestRefused('revocation_malformed', { detail });
}
