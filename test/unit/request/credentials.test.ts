// Which scheme and token a request has, and what its refusal says to the operator.
import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import type { RequestRefused } from '../../../packages/core/src/errors.js';
import { hasDpopScheme, readCredentials } from '../../../packages/core/src/request/credentials.js';

function request(authorization: readonly string[], members: object = {}): IncomingMessage {
  return {
    url: '/',
    rawHeaders: ['Host', 'api.example.com', ...authorization.flatMap((line) => ['Authorization', line])],
    headers: { host: 'api.example.com' },
    ...members,
  } as unknown as IncomingMessage;
}

function refusalOf(read: () => unknown): Pick<RequestRefused, 'code' | 'detail'> {
  try {
    return { code: read() as never, detail: '' };
  } catch (error) {
    const { code, detail } = error as RequestRefused;
    return { code, detail };
  }
}

it.each([
  ['DPoP abc=', true, 'DPoP', 'abc='],
  ['dpop   abc', true, 'DPoP', 'abc'],
  ['Bearer abc', true, 'Bearer', 'abc'],
  ['Bearer abc', false, 'Bearer', 'abc'],
])('"%s" is accepted where DPoP is accepted: %s', (line, acceptsDpop, scheme, token) => {
  expect(readCredentials(request([line]), undefined, acceptsDpop)).toEqual({ scheme, token });
});

it.each([
  ['DPoP', true, 'credentials_malformed', 'the scheme DPoP, and not one token'],
  ['DPoP a b', true, 'credentials_malformed', 'the scheme DPoP, and not one token'],
  ['DPoP abc=x', true, 'credentials_malformed', 'the scheme DPoP, and not one token'],
  ['Bearer a b', true, 'credentials_malformed', 'the scheme Bearer, and not one token'],
  ['xDPoP abc', true, 'credentials_missing', 'does not begin with the scheme Bearer or DPoP'],
  ['DPoPx abc', true, 'credentials_missing', 'does not begin with the scheme Bearer or DPoP'],
  ['DPoP-x abc', true, 'credentials_missing', 'does not begin with the scheme Bearer or DPoP'],
  ['DPoP abc', false, 'credentials_missing', 'expected the scheme Bearer, got DPoP'],
  ['BASIC abc', false, 'credentials_missing', 'expected the scheme Bearer, got Basic'],
  ['tok-3141592653', false, 'credentials_missing', 'does not begin with the scheme Bearer'],
  ['', false, 'credentials_missing', 'there is no Authorization header'],
])('the refusal of "%s" says why, and not what was sent', (line, acceptsDpop, code, detail) => {
  const refusal = refusalOf(() => readCredentials(request([line]), undefined, acceptsDpop));
  expect(refusal.code).toBe(code);
  expect(refusal.detail).toContain(detail);
  expect(refusal.detail).not.toMatch(/3141592653|abc/);
});

it('the refusal of a long header names both lengths', () => {
  const line = `Bearer ${'a'.repeat(16_378)}`;
  const refusal = refusalOf(() => readCredentials(request([line]), undefined, false));
  expect(refusal).toEqual({
    code: 'credentials_too_long',
    detail: 'the Authorization header has 16385 characters, accepted are 16384',
  });
});

it.each([
  [['DPoP abc'], true],
  [['dpop'], true],
  [['Bearer a', 'DPoP b'], true],
  [['Bearer DPoP'], false],
  [['DPoPx abc'], false],
  [[], false],
])('hasDpopScheme() of %j is %s', (lines, expected) => {
  expect(hasDpopScheme(request(lines))).toBe(expected);
});

it('hasDpopScheme() of a request without headers is false', () => {
  expect(hasDpopScheme({} as never)).toBe(false);
});

it.each<[string, object]>([
  ['no rawHeaders', { rawHeaders: undefined }],
  ['no headers', { headers: undefined }],
  ['null as headers', { headers: null }],
])('a request with %s is refused with an error that names both', (_title, members) => {
  expect(() => readCredentials(request(['Bearer abc'], members), undefined, false)).toThrow(
    'the request has no headers or no rawHeaders; expected both, as Node gives them: see what made the request',
  );
});

it.each<[string, object, boolean]>([
  ['2 lines where its parser keeps 2', { socket: { parser: { maxHeaderPairs: 4 } } }, true],
  ['2 lines where its parser keeps 3', { socket: { parser: { maxHeaderPairs: 6 } } }, false],
  ['2 lines where its parser keeps all', { socket: { parser: { maxHeaderPairs: 0 } } }, false],
  ['2 lines where its server keeps 2', { socket: { server: { maxHeadersCount: 2 } } }, true],
  ['2 lines where its server keeps 3', { socket: { server: { maxHeadersCount: 3 } } }, false],
  [
    '2 lines where its parser keeps 3, and its server 2',
    { socket: { parser: { maxHeaderPairs: 6 }, server: { maxHeadersCount: 2 } } },
    false,
  ],
  ['2 lines of a connection without a parser', { socket: { parser: null } }, false],
  ['2 lines of no connection', { socket: undefined }, false],
  [
    '2 lines, where the request line alone says HTTP/2',
    { httpVersionMajor: 2, socket: { server: { maxHeadersCount: 2 } } },
    true,
  ],
])('a request with %s may lack further lines and is refused only then', (_title, members, isRefused) => {
  const refusal = refusalOf(() => readCredentials(request(['Bearer abc'], members), undefined, false).scheme);
  expect(refusal).toEqual(
    isRefused
      ? { code: 'headers_too_many', detail: 'Node keeps 2 header lines of a request' }
      : { code: 'Bearer', detail: '' },
  );
});

it('a request of 1,000 lines is refused where nothing says how many lines Node keeps', () => {
  const lines = (count: number) => Array.from({ length: count }, () => ['X', 'y']).flat();
  const read = (count: number) => {
    const req = request([], { rawHeaders: [...lines(count - 1), 'Authorization', 'Bearer abc'] });
    return refusalOf(() => readCredentials(req, undefined, false).scheme).code;
  };
  expect([read(999), read(1_000)]).toEqual(['Bearer', 'headers_too_many']);
});

it.each<[unknown, string]>([
  ['Bearer abc', 'Bearer'],
  [['Bearer abc'], 'Bearer'],
  [['Bearer abc', 'Bearer abc'], 'credentials_repeated'],
  [undefined, 'credentials_missing'],
])(
  'a request without lines whose headers have authorization: %j is read as %s',
  (authorization, expected) => {
    const req = request([], { rawHeaders: [], headers: { host: 'x', authorization } });
    expect(refusalOf(() => readCredentials(req, undefined, false).scheme).code).toBe(expected);
  },
);
