import type { IncomingMessage } from 'node:http';
import { describe, expect, it, vi } from 'vitest';
import { RequestRefused, refusalCodes } from '../../../packages/core/src/errors.js';
import { type ChallengeRules, createRefusalAnswer } from '../../../packages/core/src/response/challenge.js';
import { challengeOf } from '../../support/refusals.js';

const rules: ChallengeRules = {
  realm: 'my api',
  errorBody: undefined,
  errorContentType: 'application/json; charset=utf-8',
  resourceMetadata: undefined,
  dpop: undefined,
  report: () => undefined,
};
const req = { url: '/accounts' } as IncomingMessage;
const answerTo = (code: (typeof refusalCodes)[number]) =>
  createRefusalAnswer(
    new RequestRefused(code, { detail: 'for the operator alone', scope: 'a b' }),
    req,
    rules,
  );

describe.each(refusalCodes)('%s', (code) => {
  it('R94: is not to be stored', () => {
    expect(answerTo(code).headers['Cache-Control']).toBe('no-store');
  });

  it('R86 R88 R89: has one challenge of permitted characters, each parameter once, and a 503 none', async () => {
    const { status, headers } = answerTo(code);
    const header = headers['WWW-Authenticate'];
    if (status === 429 || status === 503 || code === 'certificate_refused') {
      expect(header).toBeUndefined();
      return;
    }
    expect(await challengeOf(header ?? '')).toMatchObject({ realm: 'my api' });
    const names = [...(header ?? '').matchAll(/(\w+)="/g)].map(([, name]) => name);
    expect(names).toEqual([...new Set(names)]);
    for (const [, value] of (header ?? '').matchAll(/="([^"]*)"/g)) {
      expect(value).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/);
    }
  });

  it('R90: tells the client nothing of what the operator is told', () => {
    expect(JSON.stringify(answerTo(code))).not.toContain('operator');
  });
});

describe('word for word', () => {
  const json = 'application/json; charset=utf-8';
  const uncheckable = 'The access token can not be checked at the moment';
  const insufficientScope = 'The access token lacks a scope that this resource requires';
  const stepUp = 'This resource requires another or a more recent authentication of the user';

  it.each<[string, RequestRefused, object, Record<string, string>]>([
    [
      'no credentials: a challenge without an error, and no body',
      new RequestRefused('credentials_missing'),
      {},
      { 'WWW-Authenticate': 'Bearer realm="my api"' },
    ],
    [
      'RFC 6750 §3: the scopes that are required',
      new RequestRefused('scope_insufficient', { scope: 'a b' }),
      { error: 'insufficient_scope', error_description: insufficientScope },
      {
        'WWW-Authenticate': `Bearer realm="my api", error="insufficient_scope", error_description="${insufficientScope}", scope="a b"`,
      },
    ],
    [
      'RFC 9470 §3: the authentication that is required',
      new RequestRefused('authentication_insufficient', { acrValues: 'myACR', maxAge: 5 }),
      { error: 'insufficient_user_authentication', error_description: stepUp },
      {
        'WWW-Authenticate': `Bearer realm="my api", error="insufficient_user_authentication", error_description="${stepUp}", acr_values="myACR", max_age="5"`,
      },
    ],
    [
      'a certificate that is not accepted: no challenge',
      new RequestRefused('certificate_refused'),
      { error: 'access_denied', error_description: 'The client certificate is not accepted here' },
      {},
    ],
    [
      'trouble that may pass: when to come back, by itself',
      new RequestRefused('authorization_server_timeout'),
      { error: 'temporarily_unavailable', error_description: uncheckable },
      { 'Retry-After': '5' },
    ],
    [
      'trouble that may pass: when to come back, as the authorization server says',
      new RequestRefused('authorization_server_overloaded', { retryAfter: 30 }),
      { error: 'temporarily_unavailable', error_description: uncheckable },
      { 'Retry-After': '30' },
    ],
    [
      'RFC 6585 §4: too many requests: when to come back',
      new RequestRefused('too_many_rejected_tokens', { retryAfter: 60 }),
      {
        error: 'too_many_requests',
        error_description: 'Too many invalid access tokens. Try again later',
      },
      { 'Retry-After': '60' },
    ],
    [
      'trouble that lasts: not when to come back',
      new RequestRefused('internal_error', { retryAfter: 30 }),
      { error: 'server_error', error_description: 'The resource server can not check access tokens' },
      {},
    ],
  ])('%s', (_title, refusal, body, headers) => {
    const hasBody = Object.keys(body).length > 0;
    expect(createRefusalAnswer(refusal, req, rules)).toStrictEqual({
      status: refusal.status,
      headers: { 'Cache-Control': 'no-store', ...(hasBody && { 'Content-Type': json }), ...headers },
      body: hasBody ? JSON.stringify(body) : '',
    });
  });

  it('RFC 9728 §5.1: where the metadata are, last', () => {
    const resourceMetadata = 'https://resource.example.com/.well-known/oauth-protected-resource';
    const { headers } = createRefusalAnswer(new RequestRefused('credentials_missing'), req, {
      ...rules,
      resourceMetadata,
    });
    expect(headers['WWW-Authenticate']).toBe(
      `Bearer realm="my api", resource_metadata="${resourceMetadata}"`,
    );
  });
});

describe('what the client is told otherwise', () => {
  it('takes the place of the fixed sentence, in challenge and body', () => {
    const { headers, body } = createRefusalAnswer(new RequestRefused('certificate_missing'), req, {
      ...rules,
      describe: ({ code }) => `because of ${code}`,
    });
    expect(headers['WWW-Authenticate']).toBe(
      'Bearer realm="my api", error="invalid_token", error_description="because of certificate_missing"',
    );
    expect(body).toBe('{"error":"invalid_token","error_description":"because of certificate_missing"}');
  });

  it('is the fixed sentence where there is nothing more to say', () => {
    const { body } = createRefusalAnswer(new RequestRefused('certificate_missing'), req, {
      ...rules,
      describe: () => undefined,
    });
    expect(body).toBe('{"error":"invalid_token","error_description":"A client certificate is required"}');
  });

  it.each([['because of "it"'], ['because\r\nof it'], ['wegen Łódź'], ['a\\'], [7], ['']])(
    'is the fixed sentence where no challenge takes %j',
    (description) => {
      const { headers } = createRefusalAnswer(new RequestRefused('certificate_missing'), req, {
        ...rules,
        describe: () => description as string,
      });
      expect(headers['WWW-Authenticate']).toContain('error_description="A client certificate is required"');
    },
  );

  it('makes no body where there is no error', () => {
    const { headers, body } = createRefusalAnswer(new RequestRefused('credentials_missing'), req, {
      ...rules,
      describe: () => 'anything',
    });
    expect([body, headers['Content-Type']]).toEqual(['', undefined]);
  });
});

describe('a value that a policy gives with a refusal', () => {
  type Name = 'scope' | 'acrValues' | 'maxAge' | 'retryAfter';
  const codeFor = (name: Name) =>
    name === 'retryAfter' ? 'authorization_server_timeout' : 'certificate_missing';
  function answerWith(name: Name, value: unknown) {
    const report = vi.fn();
    const refusal = new RequestRefused(codeFor(name), { [name]: value });
    const { headers } = createRefusalAnswer(refusal, req, { ...rules, report });
    return { sent: headers['WWW-Authenticate'] ?? headers['Retry-After'], reports: report.mock.calls };
  }
  const challenge =
    'Bearer realm="my api", error="invalid_token", error_description="A client certificate is required"';

  it.each<[Name, unknown, string]>([
    ['scope', 'a', `${challenge}, scope="a"`],
    ['scope', 'a b:c!~ d', `${challenge}, scope="a b:c!~ d"`],
    ['acrValues', 'urn:loa2 #[]', `${challenge}, acr_values="urn:loa2 #[]"`],
    ['maxAge', 0, `${challenge}, max_age="0"`],
    ['retryAfter', 0, '0'],
    ['retryAfter', 120, '120'],
  ])('is sent as it is: %s %o', (name, value, sent) => {
    expect(answerWith(name, value)).toEqual({ sent, reports: [] });
  });

  const text = 'of printable ASCII without " and \\, with one blank between two';
  const seconds = 'expected a whole number of seconds from 0';
  const expected = {
    scope: `expected scopes ${text}`,
    acrValues: `expected values ${text}`,
    maxAge: seconds,
    retryAfter: seconds,
  };
  const noTexts = [
    ...[
      '',
      ' ',
      ' a',
      'a ',
      'a  b',
      'a\tb',
      'a\n',
      'a\r\nb',
      '"a',
      'a", error="x',
      'a\\',
      '\\a',
      'é',
      '\x7f',
    ],
    ...[7, null, ['a'], { toString: () => 'a' }],
  ];
  const noSeconds = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '5', '5\r\nX: y', [5]];

  it.each<[Name, unknown, string | undefined]>([
    ...noTexts.map((value): [Name, unknown, string] => ['scope', value, challenge]),
    ...noTexts.map((value): [Name, unknown, string] => ['acrValues', value, challenge]),
    ...noSeconds.map((value): [Name, unknown, string] => ['maxAge', value, challenge]),
    ...noSeconds.map((value): [Name, unknown, undefined] => ['retryAfter', value, undefined]),
  ])('is left out, and reported, if the answer can not carry it: %s %o', (name, value, sent) => {
    const message =
      `the answer to a request leaves out ${name} of new RequestRefused('${codeFor(name)}', ` +
      `{ ${name} }): ${expected[name]}`;
    expect(answerWith(name, value)).toEqual({ sent, reports: [['refusal_value_left_out', message]] });
  });
});

describe('a body of the API’s own', () => {
  it.each([
    ['an object', { problem: 'x' }, '{"problem":"x"}'],
    ['a text', 'refused', '"refused"'],
    ['null', null, 'null'],
  ])('%s is sent as JSON', (_title, shaped, expected) => {
    const { headers, body } = createRefusalAnswer(new RequestRefused('credentials_missing'), req, {
      ...rules,
      errorBody: () => shaped,
    });
    expect([body, headers['Content-Type']]).toEqual([expected, 'application/json; charset=utf-8']);
  });

  it('undefined is an empty body', () => {
    const { headers, body } = createRefusalAnswer(new RequestRefused('token_expired'), req, {
      ...rules,
      errorBody: () => undefined,
    });
    expect([body, headers['Content-Type']]).toEqual(['', undefined]);
  });

  it('a promise of a body is an error, which says what the function must return', () => {
    const refusal = new RequestRefused('token_expired');
    const errorBody = (async () => ({ problem: 'x' })) as never;
    expect(() => createRefusalAnswer(refusal, req, { ...rules, errorBody })).toThrow(
      'it returned a promise; it must return the body itself',
    );
  });

  it.each([
    [
      new RequestRefused('certificate_missing', { detail: 'for the operator alone' }),
      {
        status: 401,
        code: 'certificate_missing',
        body: { error: 'invalid_token', error_description: 'A client certificate is required' },
      },
    ],
    [
      new RequestRefused('credentials_missing'),
      { status: 401, code: 'credentials_missing', body: undefined },
    ],
  ])('is made of status, code, the plain body and the request: %s', (refusal, expected) => {
    const errorBody = vi.fn();
    createRefusalAnswer(refusal, req, { ...rules, errorBody });
    expect(errorBody.mock.calls).toStrictEqual([[expected, req]]);
  });
});
