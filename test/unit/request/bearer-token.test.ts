import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import { readCredentials } from '../../../packages/core/src/request/credentials.js';
import { runs } from '../../support/fuzzing.js';

/** A request with the given Authorization lines, as Node presents it. */
function request(lines: string[], { url = '/', contentType }: { url?: string; contentType?: string } = {}) {
  return {
    url,
    rawHeaders: [
      'Host',
      'api.example.com',
      'If-None-Match',
      '"x"',
      ...lines.flatMap((value) => ['AUTHORIZATION', value]),
    ],
    headers: { 'content-type': contentType },
  } as unknown as IncomingMessage;
}

function outcome(lines: string[], options?: Parameters<typeof request>[1], body?: unknown): string {
  try {
    return `token ${readCredentials(request(lines, options), body, false).token}`;
  } catch (error) {
    expect(error).toBeInstanceOf(RequestRefused);
    const { status, error: code } = error as RequestRefused;
    return `${status} ${code}`;
  }
}

const token = 'abc-._~+/123';
const malformed = '400 invalid_request';
const noCredentials = '401 undefined';

describe('the Authorization header', () => {
  it.each([
    ['R76: as the RFC writes it', [`Bearer ${token}`], `token ${token}`],
    ['R77: scheme in lower case', [`bearer ${token}`], `token ${token}`],
    ['R77: scheme in inverted case', [`bEARER ${token}`], `token ${token}`],
    ['R78: two blanks', [`Bearer  ${token}`], `token ${token}`],
    ['R78: padding at the end', ['Bearer abc=='], 'token abc=='],
    ['R78: a tab for the blank', [`Bearer\t${token}`], malformed],
    ['R78: two tokens', ['Bearer a b'], malformed],
    ['R78: a comma', ['Bearer a,b'], malformed],
    ['R78: two schemes in one line', ['Bearer a, Bearer b'], malformed],
    ['R78: padding first', ['Bearer =abc'], malformed],
    ['R78: padding in the middle', ['Bearer a=bc'], malformed],
    ['R78: a byte beyond ASCII', ['Bearer ab\xe9'], malformed],
    ['R78: a quote', ['Bearer a"b'], malformed],
    ['R78: a blank after the token', ['Bearer abc '], malformed],
    ['R78: a letter that only Unicode folds to ASCII', ['Bearer ab\u212a'], malformed],
    ['R78: no blank at all', ['Bearer=abc'], malformed],
    ['R79 S3: a bare scheme', ['Bearer'], malformed],
    ['R79: an empty header', [''], noCredentials],
    ['S1 R87: no header', [], noCredentials],
    ['S2: Basic', ['Basic YTpi'], noCredentials],
    ['S2: another scheme that names bearer', ['Negotiate bearer'], noCredentials],
    ['S2: DPoP', [`DPoP ${token}`], noCredentials],
    ['S2: a scheme that begins like Bearer', [`BearerToken ${token}`], noCredentials],
    ['S4 R80: twice the same', [`Bearer ${token}`, `Bearer ${token}`], malformed],
    ['S4 R80: two tokens', ['Bearer a', 'Bearer b'], malformed],
    ['S4 R80: Basic first', ['Basic YTpi', `Bearer ${token}`], malformed],
    ['S4 R80: an empty one first', ['', `Bearer ${token}`], malformed],
    ['the longest token', [`Bearer ${'a'.repeat(16_377)}`], `token ${'a'.repeat(16_377)}`],
    ['one character longer', [`Bearer ${'a'.repeat(16_378)}`], malformed],
    ['100 kB of one token', [`Bearer ${'a'.repeat(100_000)}`], malformed],
    ['100 kB of blanks', [`Bearer${' '.repeat(100_000)}x`], malformed],
    ['100 kB of padding', [`Bearer a${'='.repeat(100_000)}x`], malformed],
    ['100 kB of another scheme', [`Basic ${'a'.repeat(100_000)}`], malformed],
  ])('%s', (_title, lines, expected) => {
    expect(outcome(lines)).toBe(expected);
  });

  it('gives a token of the grammar or a refusal, for any value', () => {
    const almost = fc.string({ unit: fc.constantFrom(...'Bbearer \t=,"a1-._~+/\\é') });
    fc.assert(
      fc.property(
        fc.oneof(
          almost,
          fc.string().map((text) => `Bearer ${text}`),
        ),
        (value) => {
          expect(outcome([value])).toMatch(
            /^(token [A-Za-z0-9\-._~+/]+=*|400 invalid_request|401 undefined)$/,
          );
        },
      ),
      runs(5_000),
    );
  });
});

describe('a token anywhere else is refused, never used', () => {
  const good = [`Bearer ${token}`];
  const form = 'application/x-www-form-urlencoded';

  it.each([
    ['S5 R83: in the query alone', [], '/r?access_token=x'],
    ['S5 R81: in the query beside the header', good, '/r?access_token=x'],
    ['R82: twice in the query', good, '/r?access_token=a&access_token=b'],
    ['R83: behind other parameters', good, '/r?a=1&access_token=x'],
    ['R83: an empty one', good, '/r?access_token'],
    ['R83: the name percent-encoded', good, '/r?access%5Ftoken=x'],
    ['R83: in an absolute URL', good, 'https://api.example.com/r?access_token=x'],
  ])('%s', (_title, lines, url) => {
    expect(outcome(lines, { url })).toBe(malformed);
  });

  it.each([
    ['another name that contains it', '/r?not_access_token=x'],
    ['the word as a value', '/r?q=access_token'],
    ['in the path', '/access_token=x'],
    ['in a path like a query', '/r&access_token=x'],
    ['broken percent signs', '/r?%=%zz'],
  ])('%s is no token', (_title, url) => {
    expect(outcome(good, { url })).toBe(`token ${token}`);
  });

  it('a request that names no target has no query', () => {
    expect(readCredentials({ ...request(good), url: undefined } as never, undefined, false)).toEqual({
      scheme: 'Bearer',
      token,
    });
  });

  it.each([
    ['S5 R84: in a form alone', [], form, malformed],
    ['R81: in a form beside the header', good, form, malformed],
    ['R84: in a form with a charset', good, `${form.toUpperCase()}; charset=utf-8`, malformed],
    ['another type that begins as a form’s', good, `${form}x`, `token ${token}`],
    ['a JSON member of that name is the API’s own', good, 'application/json', `token ${token}`],
    ['R84: multipart is no token form', good, 'multipart/form-data; boundary=x', `token ${token}`],
    ['R96: a cookie is not looked at', [], undefined, noCredentials],
  ])('%s', (_title, lines, contentType, expected) => {
    const options = contentType === undefined ? {} : { contentType };
    expect(outcome(lines, options, { access_token: 'x' })).toBe(expected);
  });

  it.each([[undefined], [null], ['access_token=x'], [Object.create({ access_token: 'x' })], [[]]])(
    'a body of another kind (%j) is no form',
    (body) => {
      expect(outcome(good, { contentType: form }, body)).toBe(`token ${token}`);
    },
  );
});
