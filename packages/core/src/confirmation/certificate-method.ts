import { RequestRefused } from '../errors.js';
import { redactIdentifier } from '../shared/shown-url.js';
import type { ConfirmationMethod } from './confirmation-method.js';
import { describeValueKind } from './value-kind.js';

/**
 * Characters of a thumbprint that is none. The longest likely mistake, base64url of base64 of hex,
 * has 118.
 */
const MAX_SHOWN = 128;

/** Binds a token to a certificate: the request came with it (RFC 8705 §3). */
export const certificateMethod: ConfirmationMethod = Object.freeze({
  member: 'x5t#S256',
  verifyPossession(expected, { thumbprint }) {
    if (typeof expected !== 'string' || expected === '') {
      const why =
        Array.isArray(expected) && expected.length > 1
          ? 'it is named more than once, by cnf and the claim of the option claims.thumbprint, or by the ' +
            'token and the answer about it'
          : 'the authorization server wrote no thumbprint';
      throw new RequestRefused('token_bound_otherwise', {
        detail: `x5t#S256 in cnf is ${describeValueKind(expected)}: ${why}`,
      });
    }
    if (thumbprint === undefined) {
      throw new RequestRefused('certificate_missing');
    }
    if (!isSameThumbprint(expected, thumbprint)) {
      throw new RequestRefused('certificate_mismatch', {
        expectedThumbprint: redactIdentifier(expected)
          .slice(0, MAX_SHOWN)
          .replaceAll(/[^\x20-\x7e]/g, '?'),
      });
    }
  },
} satisfies ConfirmationMethod);

/**
 * Compares as text, never decoded: Node's base64url decoder takes padding, blanks and a changed
 * last character for the same bytes. To the end, whatever differs, though neither is a secret;
 * without the two Buffers that timingSafeEqual would need, which cost 2 µs a request.
 */
function isSameThumbprint(confirmed: string, presented: string): boolean {
  if (confirmed.length !== presented.length) {
    return false;
  }
  let difference = 0;
  for (let i = 0; i < presented.length; i += 1) {
    difference |= confirmed.charCodeAt(i) ^ presented.charCodeAt(i);
  }
  return difference === 0;
}
