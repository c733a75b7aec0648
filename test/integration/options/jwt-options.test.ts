// The options of jwtAccessTokens() that say how a server writes its tokens: a wrong one is refused at start-up.
import { ConfigurationError, type JwtAccessTokensOptions, jwtAccessTokens } from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';

const types =
  "a list of 'at+jwt', 'JWT', 'absent' for a token without typ, or a server's own type that ends in at+jwt";
const names = 'the name of a claim, without blanks around it, other than iss, aud, exp, nbf, iat, jti, cnf';

const refused: [unknown, string, string][] = [
  [{ typ: 'JWT' }, 'typ', `a string of 3 characters was given; accepted is ${types}`],
  [{ typ: [] }, 'typ', `a list was given; accepted is ${types}`],
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
    `a list was given; accepted is ${types}`,
  ]),
  // biome-ignore lint/suspicious/noSparseArray: a hole is what is tested.
  [{ typ: ['JWT', ,] }, 'typ', `a list was given; accepted is ${types}`],
  [
    { claims: 'azp' },
    'claims',
    'a string of 3 characters was given; accepted is an object of clientId, scope, subject, thumbprint',
  ],
  [
    { claims: { clientid: 'azp' } },
    'claims.clientid',
    'there is no such option; accepted are clientId, scope, subject, thumbprint',
  ],
  ...['clientId', 'scope', 'subject'].flatMap((name): [unknown, string, string][] => [
    [{ claims: { [name]: '' } }, `claims.${name}`, `"" was given; accepted is ${names}`],
    [{ claims: { [name]: ['azp'] } }, `claims.${name}`, `a list was given; accepted is ${names}`],
    ...['iss', 'aud', 'exp', 'nbf', 'iat', 'jti', 'cnf', 'a '].map((claim): [unknown, string, string] => [
      { claims: { [name]: claim } },
      `claims.${name}`,
      `a string of ${claim.length} characters was given; accepted is ${names}`,
    ]),
  ]),
  [
    { claims: { clientId: 'sub' } },
    'claims',
    'clientId, scope and subject are read from sub, scope, sub; accepted are three different claims',
  ],
  [
    { claims: { clientId: 'azp', subject: 'azp' } },
    'claims',
    'clientId, scope and subject are read from azp, scope, azp; accepted are three different claims',
  ],
  [
    { requiredClaims: 'sub' },
    'requiredClaims',
    'a string of 3 characters was given; accepted is a list of names of claims',
  ],
  ...[[''], [7], [undefined], [' sub']].map((requiredClaims): [unknown, string, string] => [
    { requiredClaims },
    'requiredClaims',
    'a list was given; accepted is a list of names of claims',
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
