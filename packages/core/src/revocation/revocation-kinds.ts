import { sha256Text } from '../shared/option-rules.js';

/** What can be revoked. */
export const revocationKinds = [
  'token',
  'tokenHash',
  'jti',
  'subject',
  'clientId',
  'session',
  'thumbprint',
] as const;

type Kind = (typeof revocationKinds)[number];

const hashForm = {
  accepted:
    'is SHA-256 in base64url: 43 characters without padding, the last of which is one of AEIMQUYcgkosw048',
  test: sha256Text,
};
const nameForm = { accepted: 'has 1,000 characters at most', test: /^.{1,1000}$/s };

/**
 * What each kind looks like where it can match. A revocation that matches nothing would seem to
 * work.
 */
const forms: Readonly<Record<Kind, { readonly accepted: string; readonly test: RegExp }>> = {
  token: {
    accepted: 'is an access token, without its scheme: 16,384 characters at most (RFC 6750 §2.1)',
    test: /^[\w\-.~+/]{1,16384}=*$/,
  },
  tokenHash: hashForm,
  thumbprint: hashForm,
  jti: nameForm,
  subject: nameForm,
  clientId: nameForm,
  session: nameForm,
};

/** What the value of a kind looks like, for an error message. */
export function acceptedForm(kind: string): string {
  return Object.hasOwn(forms, kind) ? forms[kind as Kind].accepted : 'is unknown';
}

/** Whether a value is in a form that a token could have. */
export function couldMatch(kind: string, value: string): boolean {
  return Object.hasOwn(forms, kind) && value.length <= 20_000 && forms[kind as Kind].test.test(value);
}
