import { describe, expect, it } from 'vitest';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import { HttpRefusal } from '../../../packages/core/src/response/http-refusal.js';

const headers = { 'Cache-Control': 'no-store' };
const body = { problem: 'x' };
const made = (refusal: RequestRefused): HttpRefusal =>
  new HttpRefusal(refusal, { status: refusal.status, headers, body });

describe('an error for the error handling of the framework', () => {
  it.each<[string, RequestRefused, number, boolean, string]>([
    [
      'a fault of the client',
      new RequestRefused('certificate_missing', { detail: 'private' }),
      401,
      true,
      'A client certificate is required',
    ],
    [
      'trouble of the server',
      new RequestRefused('internal_error', { detail: 'private' }),
      503,
      false,
      'The resource server can not check access tokens',
    ],
    [
      'a request without credentials',
      new RequestRefused('credentials_missing', { detail: 'private' }),
      401,
      true,
      'Unauthorized',
    ],
  ])(
    '%s: has the status, and a message that the client may read',
    (_title, refusal, status, expose, message) => {
      const error = made(refusal);
      expect({ ...error }).toEqual({
        name: 'HttpRefusal',
        status,
        statusCode: status,
        expose,
        headers,
        body,
      });
      expect([error.message, error.stack]).toEqual([message, `HttpRefusal: ${message}`]);
    },
  );

  it('tells the operator code and detail, which no copy and no JSON of it has', () => {
    const error = made(new RequestRefused('token_expired', { detail: 'private' }));
    expect([error.code, error.detail]).toEqual(['token_expired', 'private']);
    expect(JSON.stringify({ ...error, stack: error.stack, message: error.message })).not.toMatch(
      /private|token_expired/,
    );
  });

  it('lets an error handler give it another stack', () => {
    const error = made(new RequestRefused('token_expired'));
    error.stack = 'other';
    expect(error.stack).toBe('other');
  });
});

describe('HttpRefusal.isHttpRefusal()', () => {
  const error = made(new RequestRefused('token_expired'));
  it.each<[string, unknown, boolean]>([
    ['an HttpRefusal', error, true],
    ['an object that only inherits from one', Object.create(error), false],
    ['an object of the same name', { name: 'HttpRefusal', status: 401 }, false],
    ['a RequestRefused', new RequestRefused('token_expired'), false],
    ['null', null, false],
    ['undefined', undefined, false],
    ['a text', 'HttpRefusal', false],
    ['a function', () => error, false],
  ])('of %s', (_title, value, expected) => {
    expect(HttpRefusal.isHttpRefusal(value)).toBe(expected);
  });
});
