import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isCanonical, revocationHashOf } from '../../../packages/core/src/token/token-hash.js';
import { runs } from '../../support/fuzzing.js';

const sha256 = (text: string) => createHash('sha256').update(text).digest('base64url');
const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

// RFC 7515 appendix A.3: an ES256 signature.
const input =
  'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ';
const jwt = `${input}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`;

describe('the canonical hash of a token', () => {
  it('is the hash of what is signed, for a JWT with whichever signature', () => {
    expect(revocationHashOf(jwt)).toBe(sha256(input));
    expect(revocationHashOf(`${input}.another`)).toBe(sha256(input));
  });

  it.each(['.', '..', '.x', '.x.y', '~disclosure~', '~disclosure~eyJ9.eyJ9.AA', '=.'])(
    'is the hash of what is signed, for a JWT with %s after it',
    (more) => {
      expect(revocationHashOf(jwt + more)).toBe(sha256(input));
    },
  );

  it('is the hash of what is signed, for a signed JWT whose header has the member enc', () => {
    const signed = `${encoded({ alg: 'ES256', enc: 'A128GCM' })}.${encoded({ sub: 'user-1' })}`;
    expect(revocationHashOf(`${signed}.AQ`)).toBe(sha256(signed));
  });

  it('is the hash of the whole text for a token of fewer than 22 characters, in whichever spelling', () => {
    const shortest = 'A'.repeat(22);
    expect(revocationHashOf(`${shortest}=`)).toBe(sha256(shortest));
    expect(revocationHashOf(`${shortest.slice(1)}=`)).toBe(sha256(`${shortest.slice(1)}=`));
  });

  const opaque = 'a-handle-of-22-letters-and-more';
  const jwe = `${encoded({ alg: 'dir', enc: 'A128GCM' })}..AAAAAAAA.AAAAAAAA.AAAAAAAA`;
  it.each([
    ['dots after an opaque text', `${opaque}...`, opaque],
    ['dots and what decodes to nothing', `${opaque}.=.~`, opaque],
    ['a dot after an encrypted JWT', `${jwe}.`, jwe],
  ])('leaves out %s', (_what, token, expected) => {
    expect(revocationHashOf(token)).toBe(revocationHashOf(expected));
  });

  it('is another one for encrypted JWTs of one header', () => {
    expect(revocationHashOf(`${jwe.slice(0, -1)}g`)).not.toBe(revocationHashOf(jwe));
    expect(revocationHashOf(`${jwe}.xyz`)).not.toBe(revocationHashOf(jwe));
  });

  it.each([
    ['an opaque text', 'mF_9.B5f-4.1JqM'],
    ['a short text whose last character has unused bits', 'token-b'],
    ['three parts without a header', `AAAA.publicAA.${encoded('a payload')}`],
    ['a header without alg', `${encoded({ typ: 'JWT' })}.AA.AQ`],
    ['a header that is no object', `${encoded('alg')}.AA.${encoded('a payload')}`],
    ['two parts', input],
    ['the header of a JWT alone', encoded({ alg: 'ES256', typ: 'JWT' })],
    ['an encrypted JWT', `${encoded({ alg: 'RSA-OAEP', enc: 'A128GCM' })}.AA.AQ.Ag.Aw`],
  ])('is the hash of its text for %s', (_what, token) => {
    expect(revocationHashOf(token)).toBe(sha256(token));
  });

  const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
  const parts = fc
    .array(bytes, { minLength: 1, maxLength: 6 })
    .filter((all) => all.reduce((sum, { length }) => sum + length, 0) >= 16);
  const texts = parts.map((all) => all.map((part) => Buffer.from(part).toString('base64url')));

  /** Another text of a part that decodes to the same bytes. */
  const respelled = (part: string): fc.Arbitrary<string> =>
    fc
      .record({
        bits: fc.nat(15),
        others: fc.boolean(),
        extra: fc.constantFrom('', 'A', 'z', '9'),
        ignored: fc.constantFrom('', '~', '~~'),
        at: fc.nat(part.length),
      })
      .map(({ bits, others, extra, ignored, at }) => {
        const unused = part.length % 4 === 2 ? bits : part.length % 4 === 3 ? bits % 4 : 0;
        const last = alphabet[alphabet.indexOf(part.at(-1) ?? '') | unused];
        const text = `${part.slice(0, -1)}${last}${part.length % 4 === 0 ? extra : ''}`;
        const other = others ? text.replaceAll('-', '+').replaceAll('_', '/') : text;
        return other.slice(0, at) + ignored + other.slice(at);
      });

  it('is the same for each text of the token that a lenient decoder takes for it', () => {
    const pairs = texts.chain((all) =>
      fc.tuple(fc.constant(all.join('.')), fc.tuple(...all.map(respelled)), fc.constantFrom('', '=', '==')),
    );
    fc.assert(
      fc.property(pairs, ([token, others, padding]) => {
        const other = others.join('.') + padding;
        const decoded = (text: string) =>
          text.split('.').map((part) => Buffer.from(part, 'base64').toString('hex'));
        expect(decoded(other)).toEqual(decoded(token));
        expect(revocationHashOf(other)).toBe(revocationHashOf(token));
      }),
      runs(500),
    );
  });

  it('is another one for a token of other bytes', () => {
    fc.assert(
      fc.property(texts, texts, (one, other) => {
        const isSame = one.join('.') === other.join('.');
        expect(revocationHashOf(one.join('.')) === revocationHashOf(other.join('.'))).toBe(isSame);
      }),
      runs(500),
    );
  });

  it('is the SHA-256 of a token as its server writes it', () => {
    fc.assert(
      fc.property(texts, (all) => {
        expect(revocationHashOf(all.join('.'))).toBe(sha256(all.join('.')));
      }),
      runs(200),
    );
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
