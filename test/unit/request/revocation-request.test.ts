import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import { readRevocationRequest } from '../../../packages/core/src/revocation/revocation-request.js';

const hash43 = 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0';
const noForm43 = (name: string) => `revocation_malformed: ${name} is not in a form that a token could have`;
const form = 'application/x-www-form-urlencoded';

interface Sent {
  readonly method?: string;
  readonly type?: string | undefined;
  /** As it comes from the network, in pieces. */
  readonly pieces?: readonly string[];
  /** As a form parser left it. */
  readonly parsed?: unknown;
}

async function outcome({ method = 'POST', type = form, pieces = [], parsed }: Sent): Promise<unknown> {
  const stream = Readable.from(pieces.map((piece) => Buffer.from(piece)));
  const req = Object.assign(stream, { method, headers: { 'content-type': type } });
  try {
    return await readRevocationRequest(req as never, parsed);
  } catch (error) {
    expect(error).toBeInstanceOf(RequestRefused);
    return (error as RequestRefused).message;
  }
}

const notOne =
  'revocation_malformed: it does not have exactly one of token, token_hash, jti, sub, client_id, sid, x5t#S256';
const noForm = 'revocation_malformed: it is no form by POST';

describe.each<[string, (fields: [string, string][]) => Sent]>([
  ['as sent', (fields) => ({ pieces: [String(new URLSearchParams(fields))] })],
  ['after a form parser', (fields) => ({ parsed: Object.fromEntries(fields) })],
])('%s', (_title, sent) => {
  it.each<[string, [string, string][], unknown]>([
    [
      'RFC 7009 §2.1: token, with its hint',
      [
        ['token', '45ghiukldjahdnhzdauz'],
        ['token_type_hint', 'refresh_token'],
      ],
      { token: '45ghiukldjahdnhzdauz' },
    ],
    [
      'its hint first',
      [
        ['token_type_hint', 'refresh_token'],
        ['token', 'a.b-c'],
      ],
      { token: 'a.b-c' },
    ],
    ['token_hash', [['token_hash', hash43]], { tokenHash: hash43 }],
    ['sub', [['sub', 'álice']], { subject: 'álice' }],
    ['client_id', [['client_id', 'app']], { clientId: 'app' }],
    ['jti', [['jti', 'id-1']], { jti: 'id-1' }],
    ['sid', [['sid', 'session-1']], { session: 'session-1' }],
    ['x5t#S256', [['x5t#S256', hash43]], { thumbprint: hash43 }],
    [
      'a hash that is not the one text of its bytes',
      [['token_hash', `${'A'.repeat(42)}B`]],
      noForm43('token_hash'),
    ],
    ['a hash in hex', [['token_hash', 'ab'.repeat(32)]], noForm43('token_hash')],
    ['a hash in standard base64', [['token_hash', `${'+'.repeat(43)}=`]], noForm43('token_hash')],
    ['a fingerprint with colons', [['x5t#S256', 'AB:CD:EF']], noForm43('x5t#S256')],
    ['a token with its scheme', [['token', 'Bearer abc']], noForm43('token')],
    ['a subject of 1,000 characters', [['sub', 'a'.repeat(1_000)]], { subject: 'a'.repeat(1_000) }],
    ['a subject of 1,001 characters', [['sub', 'a'.repeat(1_001)]], noForm43('sub')],
    ['nothing', [], notOne],
    ['the hint alone', [['token_type_hint', 'access_token']], notOne],
    [
      'two',
      [
        ['token', 'a'],
        ['sub', 'b'],
      ],
      notOne,
    ],
    ['an empty value', [['token', '']], notOne],
    ['a name that every object has', [['constructor', 'x']], notOne],
  ])('%s', async (_name, fields, expected) => {
    expect(await outcome(sent(fields))).toEqual(expected);
  });
});

it.each<[string, Sent, unknown]>([
  ['the same twice', { pieces: ['token=a&token=b'] }, notOne],
  ['the same twice, after a form parser', { parsed: { token: ['a', 'b'] } }, notOne],
  ['an object, after a form parser', { parsed: { token: { a: 'b' } } }, notOne],
  ['in two pieces', { pieces: ['tok', 'en=a'] }, { token: 'a' }],
  ['where the parser left null', { pieces: ['token=a'], parsed: null }, { token: 'a' }],
  ['where the parser left a text', { pieces: ['token=a'], parsed: 'token=b' }, { token: 'a' }],
  ['where the parser left bytes', { pieces: ['token=a'], parsed: Buffer.from('token=b') }, { token: 'a' }],
  ['with a charset', { type: `${form.toUpperCase()}; charset=utf-8`, pieces: ['sub=a'] }, { subject: 'a' }],
  ['by GET', { method: 'GET', pieces: ['token=a'] }, noForm],
  ['by PUT', { method: 'PUT', parsed: { token: 'a' } }, noForm],
  ['JSON', { type: 'application/json', parsed: { token: 'a' } }, noForm],
  ['of a type that only begins alike', { type: `${form}x`, pieces: ['token=a'] }, noForm],
  ['of a type that only begins alike, after a parser', { type: `${form}2`, parsed: { token: 'a' } }, noForm],
  ['of two types', { type: `${form}, text/plain`, pieces: ['token=a'] }, noForm],
  ['with blanks around the type', { type: ` ${form} ;charset=utf-8`, pieces: ['sub=a'] }, { subject: 'a' }],
  ['of a type that only ends alike', { type: `x-${form}`, pieces: ['token=a'] }, noForm],
  [
    'of 65,536 bytes',
    { pieces: ['token=abc&x=', 'a'.repeat(65_536 - 'token=abc&x='.length)] },
    { token: 'abc' },
  ],
  [
    'of 65,537 bytes',
    { pieces: ['token=', 'a'.repeat(65_531)] },
    'revocation_malformed: its body is too large, or comes in too many small chunks',
  ],
])('%s', async (_title, sent, expected) => {
  expect(await outcome(sent)).toEqual(expected);
});

describe('percent-encoding', () => {
  const malformed = 'revocation_malformed: its percent-encoding is not that of UTF-8';
  it.each<[string, string, unknown]>([
    ['a byte that is no UTF-8', 'sub=%FF', malformed],
    ['a character that is cut off', 'sub=%E2%82', malformed],
    ['a character written too long', 'sub=%C0%AF', malformed],
    ['half of a surrogate pair', 'sub=%ED%A0%80', malformed],
    ['a percent sign alone', 'sub=100%', malformed],
    ['a percent sign before no hex', 'sub=%zz', malformed],
    ['in a name', 'sub=a&%FF=b', malformed],
    ['in a parameter that is not known', 'sub=a&x=%FF', malformed],
    ['what is well encoded', 'sub=%E2%82%AC+%2B%25%EF%BF%BD', { subject: '€ +%\u{fffd}' }],
    ['a name that is well encoded', 's%75b=a', { subject: 'a' }],
    ['a value with an equals sign', 'token=abc==', { token: 'abc==' }],
  ])('%s', async (_title, body, expected) => {
    expect(await outcome({ pieces: [body] })).toEqual(expected);
  });

  it('a body with bytes that are no UTF-8 is refused', async () => {
    const stream = Readable.from([Buffer.from([...Buffer.from('sub='), 0xff])]);
    const req = Object.assign(stream, { method: 'POST', headers: { 'content-type': form } });
    await expect(readRevocationRequest(req as never, undefined)).rejects.toThrow('its body is not in UTF-8');
  });

  it.each(['%FF', '100%', 'a\u{fffd}'])(
    '%s after a form parser, which may not have decoded it',
    async (sub) => {
      expect(await outcome({ parsed: { sub } })).toBe(
        'revocation_malformed: sub is not in UTF-8, or a percent sign in it could not be decoded',
      );
    },
  );
});

it('a request that does not say what it holds is no form', async () => {
  const req = Object.assign(Readable.from([]), { method: 'POST', headers: {} });
  await expect(readRevocationRequest(req as never, { token: 'a' })).rejects.toThrow(noForm);
});

describe('an empty object of a parser', () => {
  it('as body-parser 1 gives it for what it left unread: the form is read', async () => {
    expect(await outcome({ pieces: ['token=', 'abc'], parsed: {} })).toEqual({ token: 'abc' });
  });

  it('of an empty form that was read: nothing is waited for', async () => {
    const stream = Readable.from([Buffer.from('token=abc')]);
    stream.resume();
    await finished(stream);
    const req = Object.assign(stream, { method: 'POST', headers: { 'content-type': form } });
    await expect(readRevocationRequest(req as never, {})).rejects.toThrow(notOne);
  });
});
