// The options of jwtAccessTokens() that say how a server writes its tokens: a wrong one is refused at start-up.
import { ConfigurationError, type JwtAccessTokensOptions, jwtAccessTokens } from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';

const types =
  "a list of 'at+jwt', 'JWT', 'absent' for a token without typ, or a server's own type that ends in at+jwt";
const names = 'the name of a claim, without blanks around it, other than iss, aud, exp, nbf, iat, jti, cnf';

const refused: [unknown, string, string][] = [
  [{ typ: 'JWT' }, 'typ', `expected ${types}, got a string of 3 characters`],
  [{ typ: [] }, 'typ', `expected ${types}, got a list`],
  ...[
    'token-introspection+jwt',
    'logout+jwt',
    'secevent+jwt',
    'dpop+jwt',
    'oauth-authz-req+jwt',
    'kb+jwt',
    'fat+jwt',
    'Absent',
    'none',
    'at+jwt ',
    '',
    undefined,
    null,
    7,
  ].map((type): [unknown, string, string] => [
    { typ: ['at+jwt', type] },
    'typ',
    `expected ${types}, got a list`,
  ]),
  // biome-ignore lint/suspicious/noSparseArray: a hole is what is tested.
  [{ typ: ['JWT', ,] }, 'typ', `expected ${types}, got a list`],
  [
    { claims: 'azp' },
    'claims',
    'expected an object of clientId, scope, subject, thumbprint, got a string of 3 characters',
  ],
  [
    { claims: { clientid: 'azp' } },
    'claims.clientid',
    'expected no options but clientId, scope, subject, thumbprint, got an unknown one; did you mean clientId?',
  ],
  ...['clientId', 'scope', 'subject'].flatMap((name): [unknown, string, string][] => [
    [{ claims: { [name]: '' } }, `claims.${name}`, `expected ${names}, got ""`],
    [{ claims: { [name]: ['azp'] } }, `claims.${name}`, `expected ${names}, got a list`],
    ...['iss', 'aud', 'exp', 'nbf', 'iat', 'jti', 'cnf', 'a '].map((claim): [unknown, string, string] => [
      { claims: { [name]: claim } },
      `claims.${name}`,
      `expected ${names}, got a string of ${claim.length} characters`,
    ]),
  ]),
  [
    { claims: { clientId: 'sub' } },
    'claims',
    'expected three different claims for clientId, scope and subject, got sub, scope, sub',
  ],
  [
    { claims: { clientId: 'azp', subject: 'azp' } },
    'claims',
    'expected three different claims for clientId, scope and subject, got azp, scope, azp',
  ],
  [
    { requiredClaims: 'sub' },
    'requiredClaims',
    'expected a list of names of claims, got a string of 3 characters',
  ],
  ...[[''], [7], [undefined], [' sub']].map((requiredClaims): [unknown, string, string] => [
    { requiredClaims },
    'requiredClaims',
    'expected a list of names of claims, got a list',
  ]),
];

describe('refused', () => {
  it.each(refused)('%j', (options, path, why) => {
    expect(() => jwtAccessTokens(options as JwtAccessTokensOptions)).toThrow(
      new ConfigurationError(`jwtAccessTokens().${path}`, why),
    );
  });
});

it.each<JwtAccessTokensOptions>([
  { typ: ['at+jwt', 'JWT', 'absent', 'application/okta-internal-at+jwt'] },
  { claims: {} },
  { claims: { clientId: 'client_id', scope: 'scope', subject: 'sub' } },
  { claims: { clientId: 'https://example.com/client', scope: 'roles', subject: 'oid' } },
  { requiredClaims: [] },
  { requiredClaims: ['sub', 'uti', 'exp'] },
])('accepted: %j', (options) => {
  expect(jwtAccessTokens(options)).toBeTypeOf('function');
});

it.each(frameworks)('%s exports it with the same options', async (framework) => {
  const adapter = await (framework === 'Express' ? import('express-mtls') : import('koa-mtls'));
  expect(() => adapter.jwtAccessTokens({ typ: ['JWE'] })).toThrow(/^jwtAccessTokens\(\)\.typ: /);
});
