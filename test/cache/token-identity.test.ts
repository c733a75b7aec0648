import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { identityOf, isCanonical } from '../../packages/core/src/token/token-identity.js';

const sha256 = (text: string) => createHash('sha256').update(text).digest('base64url');
const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

// RFC 7515 appendix A.3: an ES256 signature.
const input =
  'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ';
const jwt = `${input}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`;

describe('the identity of a token', () => {
  it('is the hash of what is signed, for a JWT with whichever signature', () => {
    expect(identityOf(jwt)).toBe(sha256(input));
    expect(identityOf(`${input}.another`)).toBe(sha256(input));
  });

  it.each([
    ['an opaque text', 'mF_9.B5f-4.1JqM'],
    ['three parts without a header', 'v4.public.payload'],
    ['a header without alg', `${encoded({ typ: 'JWT' })}.a.b`],
    ['a header that is no object', `${encoded('alg')}.a.b`],
    ['two parts', input],
    ['an encrypted JWT', `${encoded({ alg: 'RSA-OAEP', enc: 'A128GCM' })}.a.b.c.d`],
  ])('is the hash of its text for %s', (_what, token) => {
    expect(identityOf(token)).toBe(sha256(token));
  });
});

describe('a JWT in base64url', () => {
  it('is canonical as the RFC writes it', () => {
    expect(isCanonical(jwt)).toBe(true);
  });

  it.each([
    ['padding', `${jwt}==`],
    ['other unused bits in the last character', `${jwt.slice(0, -1)}R`],
    ['the other alphabet', jwt.replace('-', '+')],
    ['a blank', `${jwt} `],
    ['a length that no bytes have', `${input}.AAAAA`],
  ])('is not canonical with %s', (_what, text) => {
    expect(isCanonical(text)).toBe(false);
  });
});
