import { describe, expect, it } from 'vitest';
import { type Binding, checkBinding } from '../../../packages/core/src/confirmation/binding.js';
import { certificateMethod } from '../../../packages/core/src/confirmation/certificate-method.js';
import { RequestRefused, refusalCodes } from '../../../packages/core/src/errors.js';
import { isToleratedByReport } from '../../../packages/core/src/token/tolerated-refusals.js';

// RFC 8705 Appendix A.
const thumbprint = 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0';
const other = 'v68ffgcPn6jdYpBfFY2nP4ShE2Yk-6_Mk5PI9yh6aes';

function check(
  confirmation: unknown,
  thumbprint: string | undefined,
  binding: Binding,
  claims?: Readonly<Record<string, unknown>>,
): void {
  const rules = { binding, methods: [certificateMethod] };
  checkBinding(confirmation, { thumbprint, proof: undefined }, rules, claims);
}

function outcome(confirmation: unknown, presented: string | undefined, binding: Binding): string {
  try {
    check(confirmation, presented, binding);
    return 'passes';
  } catch (error) {
    expect(error).toBeInstanceOf(RequestRefused);
    const { status, error: code } = error as RequestRefused;
    expect(`${status} ${code}`).toBe('401 invalid_token');
    return (error as RequestRefused).code;
  }
}

const x5t = (value: unknown, more: object = {}) => ({ 'x5t#S256': value, ...more });
const hex = Buffer.from(thumbprint, 'base64url').toString('hex');

describe.each(['required', 'when-bound'] as const)("binding '%s'", (binding) => {
  it.each([
    ['R2: the certificate in cnf', x5t(thumbprint), thumbprint, 'passes'],
    ['R3: another certificate', x5t(thumbprint), other, 'certificate_mismatch'],
    ['R4: no certificate', x5t(thumbprint), undefined, 'certificate_missing'],
    ['R7: padded', x5t(`${thumbprint}=`), thumbprint, 'certificate_mismatch'],
    ['R7: a blank first', x5t(` ${thumbprint}`), thumbprint, 'certificate_mismatch'],
    ['R7: a line feed last', x5t(`${thumbprint}\n`), thumbprint, 'certificate_mismatch'],
    [
      'R7: other unused bits in the last character',
      x5t(`${thumbprint.slice(0, -1)}1`),
      thumbprint,
      'certificate_mismatch',
    ],
    [
      'R7: base64, not base64url',
      x5t('v68ffgcPn6jdYpBfFY2nP4ShE2Yk+6/Mk5PI9yh6aes'),
      other,
      'certificate_mismatch',
    ],
    ['R7: hex', x5t(hex), thumbprint, 'certificate_mismatch'],
    ['R7: upper case', x5t(thumbprint.toUpperCase()), thumbprint, 'certificate_mismatch'],
    ['R7 R8: too short', x5t(thumbprint.slice(0, -1)), thumbprint, 'certificate_mismatch'],
    ['R8: empty', x5t(''), thumbprint, 'token_bound_otherwise'],
    ['R8: of 43 characters but more bytes', x5t('é'.repeat(43)), thumbprint, 'certificate_mismatch'],
    ['R7: a list', x5t([thumbprint]), thumbprint, 'token_bound_otherwise'],
    ['R8: empty, and no certificate', x5t(''), undefined, 'token_bound_otherwise'],
    ['R7: null', x5t(null), thumbprint, 'token_bound_otherwise'],
    ['R7: an object', x5t({}), thumbprint, 'token_bound_otherwise'],
    ['R7: undefined', x5t(undefined), thumbprint, 'token_bound_otherwise'],
    ['R13: jkt alone', { jkt: thumbprint }, thumbprint, 'token_bound_otherwise'],
    [
      'R14: jkt beside the right x5t#S256',
      x5t(thumbprint, { jkt: 'x' }),
      thumbprint,
      'token_bound_otherwise',
    ],
    ['R14: jwk beside it', x5t(thumbprint, { jwk: {} }), thumbprint, 'token_bound_otherwise'],
    ['R14: jwe beside it', x5t(thumbprint, { jwe: 'x' }), thumbprint, 'token_bound_otherwise'],
    ['R14: jku beside it', x5t(thumbprint, { jku: 'x' }), thumbprint, 'token_bound_otherwise'],
    ['R14: kid beside it', x5t(thumbprint, { kid: 'k' }), thumbprint, 'token_bound_otherwise'],
    ['R14: osc beside it', x5t(thumbprint, { osc: {} }), thumbprint, 'token_bound_otherwise'],
    ['R14: a member that names no method beside it', x5t(thumbprint, { more: 1 }), thumbprint, 'passes'],
    [
      'R14: such a member and another certificate',
      x5t(thumbprint, { more: 1 }),
      other,
      'certificate_mismatch',
    ],
    ['R15: a string', thumbprint, thumbprint, 'token_bound_otherwise'],
    ['R15: a list', [x5t(thumbprint)], thumbprint, 'token_bound_otherwise'],
    ['R15: null', null, thumbprint, 'token_bound_otherwise'],
    [
      'R15: a function with the right x5t#S256',
      Object.assign(() => undefined, x5t(thumbprint)),
      thumbprint,
      'token_bound_otherwise',
    ],
    [
      'R15: a list with the right x5t#S256',
      Object.assign([], x5t(thumbprint)),
      thumbprint,
      'token_bound_otherwise',
    ],
    ['R13: an empty object', {}, thumbprint, 'token_bound_otherwise'],
    ['R13: an unknown member alone', { kid: 'k' }, thumbprint, 'token_bound_otherwise'],
    ['R22: SHA-1', { x5t: 'hvfkN_qlp_zhXR3cuerq6jd2Z7g' }, thumbprint, 'token_bound_otherwise'],
    [
      'R22: the right value under another name',
      { 'x5t#s256': thumbprint },
      thumbprint,
      'token_bound_otherwise',
    ],
    [
      'R13: x5t#S256 that is only inherited',
      Object.create(x5t(thumbprint)),
      thumbprint,
      'token_bound_otherwise',
    ],
  ])('%s', (_title, confirmation, presented, expected) => {
    expect(outcome(confirmation, presented, binding)).toBe(expected);
  });
});

it.each([
  ['required', thumbprint, 'token_unbound'],
  ['required', undefined, 'token_unbound'],
  ['when-bound', thumbprint, 'passes'],
  ['when-bound', undefined, 'passes'],
] as const)("R12: no cnf, binding '%s', certificate %s: %s", (binding, presented, expected) => {
  expect(outcome(undefined, presented, binding)).toBe(expected);
});

const wroteNone = 'the authorization server wrote no thumbprint';

function refusalOf(confirmation: unknown): RequestRefused {
  try {
    check(confirmation, thumbprint, 'required');
  } catch (error) {
    return error as RequestRefused;
  }
  throw new Error('it was let in');
}

it.each([
  [{ kid: 'k' }, 'token_bound_otherwise: cnf has kid, and no x5t#S256'],
  [{ x5t: 'x' }, 'token_bound_otherwise: cnf has no x5t#S256'],
  [x5t(thumbprint, { jkt: 'x' }), 'token_bound_otherwise: cnf has jkt next to x5t#S256'],
  [x5t(thumbprint, { jwk: {} }), 'token_bound_otherwise: cnf has jwk next to x5t#S256'],
  [x5t(thumbprint, { jwe: 'x' }), 'token_bound_otherwise: cnf has jwe next to x5t#S256'],
  [x5t(thumbprint, { jku: 'x' }), 'token_bound_otherwise: cnf has jku next to x5t#S256'],
  [x5t(''), `token_bound_otherwise: x5t#S256 in cnf is empty: ${wroteNone}`],
  [x5t(null), `token_bound_otherwise: x5t#S256 in cnf is null: ${wroteNone}`],
  [x5t([]), `token_bound_otherwise: x5t#S256 in cnf is a list: ${wroteNone}`],
  [x5t([thumbprint]), `token_bound_otherwise: x5t#S256 in cnf is a list: ${wroteNone}`],
  [x5t(undefined), `token_bound_otherwise: x5t#S256 in cnf is undefined: ${wroteNone}`],
  [
    x5t([thumbprint, other]),
    'token_bound_otherwise: x5t#S256 in cnf is a list: it is named more than once, by cnf and the claim of the option claims.thumbprint, or by the token and the answer about it',
  ],
  [x5t({}), `token_bound_otherwise: x5t#S256 in cnf is of type object: ${wroteNone}`],
  [x5t(7), `token_bound_otherwise: x5t#S256 in cnf is of type number: ${wroteNone}`],
  [null, 'token_bound_otherwise: cnf is null, not an object with x5t#S256'],
  ['{}', 'token_bound_otherwise: cnf is of type string, not an object with x5t#S256'],
  [[], 'token_bound_otherwise: cnf is a list, not an object with x5t#S256'],
  [x5t(other), 'certificate_mismatch'],
])('the operator is told of %j: %s', (confirmation, message) => {
  expect(refusalOf(confirmation).message).toBe(message);
});

it.each([
  ['another certificate', other, other],
  ['hex in base64url', Buffer.from(hex).toString('base64url'), Buffer.from(hex).toString('base64url')],
  ['no more than 128 characters', 'a'.repeat(129), 'a'.repeat(128)],
  ['no character that ends a line', 'a\r\nb', 'a??b'],
])('the operator is told the thumbprint that the token names: %s', (_title, named, expected) => {
  expect(refusalOf(x5t(named)).expectedThumbprint).toBe(expected);
});

it.each<[string, Record<string, unknown>, string]>([
  [
    'beside other claims',
    { 'x5t#S256': thumbprint },
    'token_unbound: x5t#S256 is at the top of the token, not in cnf',
  ],
  ['nowhere', { sub: 'user-1' }, 'token_unbound'],
])('the operator is told of a token without cnf that has the thumbprint %s', (_title, claims, message) => {
  expect(() => check(undefined, thumbprint, 'required', claims)).toThrow(new RegExp(`^${message}$`));
});

it("binding: 'report' tells of what concerns certificate, proof and binding, and of nothing else", () => {
  // Without the nonce of a refusal no client could begin; a proof that can't be recorded is our trouble.
  const refusedAllTheSame = ['dpop_nonce_required', 'dpop_proofs_too_many', 'dpop_proofs_not_recorded'];
  const concerned = refusalCodes.filter(
    (code) => /^(?:certificate_|token_(?:un)?bound|dpop_)/.test(code) && !refusedAllTheSame.includes(code),
  );
  expect(concerned).toHaveLength(19);
  expect(refusalCodes.filter((code) => isToleratedByReport(new RequestRefused(code), true))).toEqual(
    concerned,
  );
});
