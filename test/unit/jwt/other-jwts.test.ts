// JWTs that authorization servers sign besides access tokens, as the servers and standards document them. Each names this API, its client
// and the certificate. `typ: ['JWT', 'absent']` accepts none of them, and still accepts the access tokens of these servers.
import {
  createResourceServer,
  type JwtAccessTokensOptions,
  jwtAccessTokens,
  type ResourceServer,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { toRefusal } from '../../../packages/core/src/errors.js';
import { type PretendIssuer, pretendIssuer } from '../../support/pretend-issuer.js';
import { requestWith } from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
let kit: TestKit;
let as: PretendIssuer;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
  as = pretendIssuer(issuer);
});

async function messageOf(server: ResourceServer, token: string): Promise<string> {
  try {
    await server.authorize(requestWith(token));
    return 'admitted';
  } catch (thrown) {
    return toRefusal(thrown).message;
  }
}

/** `admitted`, or the message of the refusal, for a token with typ `JWT` and for one without: both have to be the same. */
async function outcomeOf(claims: object, names: JwtAccessTokensOptions['claims'] = {}): Promise<string> {
  const server = createResourceServer({
    issuer,
    audience,
    tokens: jwtAccessTokens({ typ: ['JWT', 'absent'], claims: names, requiredClaims: [] }),
    certificate: () => kit.certificate,
    http: { fetch: as.fetch },
  });
  const iat = Math.floor(Date.now() / 1000);
  const cnf = { 'x5t#S256': kit.certificate.thumbprint };
  const own = { iss: issuer, aud: ['alice', audience], sub: 'joe', iat, exp: iat + 600, cnf };
  const outcomes = new Set<string>();
  try {
    for (const typ of ['JWT', undefined]) {
      const token = await as.sign({ ...own, ...claims }, { alg: 'ES256', typ });
      outcomes.add((await messageOf(server, token)).replace(/; its typ is .*/, ''));
    }
  } finally {
    await server.close();
  }
  return [...outcomes].join(' | ');
}

const ofClient = { client_id: 'alice', jti: 'one', scope: 'accounts:read' };
const listed = { scope: 'scope' };

// Cloud Foundry UAA, API reference, "Refresh Token" and "ID Token".
const uaa = { client_id: 'alice', cid: 'alice', azp: 'alice', zid: 'uaa', origin: 'uaa', user_name: 'joe' };
const uaaRefreshToken = { ...uaa, jti: '7f2b-r', granted_scopes: ['openid', 'accounts.read'] };
const uaaIdToken = {
  ...uaa,
  jti: '7f2b',
  grant_type: 'authorization_code',
  email_verified: true,
  amr: ['pwd'],
};

describe('a JWT that is no access token is refused', () => {
  it.each<[string, object, string, JwtAccessTokensOptions['claims']?]>([
    [
      'ID token of UAA, with its scope',
      { ...uaaIdToken, scope: ['openid'] },
      'it names scopes of OpenID Connect alone, so that it may be an ID token',
      listed,
    ],
    [
      'refresh token of UAA',
      { ...uaaRefreshToken, scope: ['accounts.read'] },
      'it has granted_scopes, as a refresh token has',
      listed,
    ],
    [
      'refresh token of UAA, whose granted_scopes are the scopes',
      uaaRefreshToken,
      'it has granted_scopes, as a refresh token has',
      { scope: 'granted_scopes' },
    ],
    // Spring Security OAuth, JwtAccessTokenConverter: the id of the access token.
    ['refresh token of Spring Security OAuth', { ati: 'a' }, 'it has ati, as a refresh token has'],
    // Django REST framework Simple JWT, TOKEN_TYPE_CLAIM.
    ['refresh token of Simple JWT', { token_type: 'refresh' }, 'its claim token_type is "refresh"'],
    // Flask-JWT-Extended, the claim `type`.
    ['refresh token of Flask-JWT-Extended', { type: 'refresh' }, 'its claim type is "refresh"'],
    ...['purpose', 'type', 'tokenType', 'token_type', 'use', 'tokenUse', 'kind', 'tokenKind'].flatMap(
      (name) =>
        [
          ...['refresh', 'refresh-token', 'Refresh Token', 'REFRESH_TOKEN', 'rt+jwt', 'offline', 'id'],
          ...['id_token', 'logout_token', 'urn:ietf:params:oauth:token-type:refresh_token'],
        ].map((word): [string, object, string] => [
          `one whose ${name} is ${word}`,
          { [name]: word },
          `its claim ${name} is "${word}"`,
        ]),
    ),
    // draft-ietf-oauth-jwt-introspection-response-03 §3: the members of the answer are the claims.
    [
      'introspection answer of a draft of RFC 9701',
      { active: true, token_type: 'Bearer', typ: 'Bearer' },
      'it has active, as an introspection answer has',
    ],
    [
      'introspection answer about a token that is not active',
      { active: false },
      'it has active, as an introspection answer has',
    ],
    // JARM §2.1.
    [
      'authorization response with state alone',
      { state: 's' },
      'it has state, as an authorization response has',
    ],
    // OpenID Connect CIBA Core §10.3.1.
    ...['rt_hash', 'auth_req_id'].map((claim): [string, object, string] => [
      `ID token of CIBA with ${claim}`,
      { [`urn:openid:params:jwt:claim:${claim}`]: 'x' },
      `it has urn:openid:params:jwt:claim:${claim}, as an ID token has`,
    ]),
    // OpenID Connect Native SSO §3.4.
    ['ID token of Native SSO', { ds_hash: 'h' }, 'it has ds_hash, as an ID token has'],
    // RFC 8417 §2.2, RFC 9493 §4.1, and Transaction Tokens, which have txn.
    ...['toe', 'txn', 'sub_id'].map((claim): [string, object, string] => [
      `Security Event Token with ${claim} alone`,
      { [claim]: claim === 'sub_id' ? { format: 'opaque', id: 'joe' } : 1_795_857_307 },
      `it has ${claim}, as a security event token has`,
    ]),
    // SD-JWT VC §3.2.2, SD-JWT §4.
    ...['vct', '_sd', '_sd_alg'].map((claim): [string, object, string] => [
      `SD-JWT credential with ${claim}`,
      { [claim]: claim === '_sd' ? ['WyJ'] : 'x' },
      `it has ${claim}, as a verifiable credential has`,
    ]),
    // RFC 7591 §2 and §2.3.
    [
      'registration with a software statement',
      { software_statement: 'ey' },
      'it has software_statement, as a client registration has',
    ],
    [
      'software statement',
      { redirect_uris: ['https://client.example.com/'] },
      'it has redirect_uris, as a client registration has',
    ],
    // RFC 9101 §4, RFC 7636 §4.3.
    ...['response_type', 'redirect_uri', 'code_challenge'].map((claim): [string, object, string] => [
      `request object with ${claim}`,
      { [claim]: 'x' },
      `it has ${claim}, as a request object has`,
    ]),
    ...['openid', 'profile', 'email', 'address', 'phone', 'offline_access', 'device_sso', 'OpenID'].map(
      (scope): [string, object, string] => [
        `one with the scope ${scope} alone`,
        { scope: `${scope} openid` },
        'it names scopes of OpenID Connect alone, so that it may be an ID token',
      ],
    ),
    [
      'one with scopes of OpenID Connect under another name',
      { scp: ['openid', 'profile'] },
      'it names scopes of OpenID Connect alone, so that it may be an ID token',
      { scope: 'scp' },
    ],
    [
      'one whose token_type alone says Bearer',
      { scope: 'openid', token_type: 'Bearer' },
      'it names scopes of OpenID Connect alone, so that it may be an ID token',
    ],
  ])('%s', async (_title, claims, expected, names) => {
    expect(await outcomeOf({ ...ofClient, ...claims }, names)).toBe(`jwt_type_not_accepted: ${expected}`);
  });
});

describe('an access token is accepted', () => {
  const withoutScope = { ...ofClient, scope: undefined };

  it.each<[string, object, JwtAccessTokensOptions['claims']?]>([
    ['of UAA', { ...uaaIdToken, scope: ['openid', 'accounts.read'] }, listed],
    // Amazon Cognito, "Understanding the access token".
    ['of Amazon Cognito', { ...withoutScope, token_use: 'access', version: 2, username: 'joe' }],
    ['of Ory Hydra, by token_use', { ...withoutScope, token_use: 'access_token' }],
    ['of Keycloak, without a scope of an API', { ...ofClient, scope: 'openid email', typ: 'Bearer' }],
    ['of Keycloak, with attributes of its user', { ...ofClient, typ: 'Bearer', state: 'Ohio', txn: 'x' }],
    ['of Flask-JWT-Extended', { ...withoutScope, type: 'access', fresh: false }],
    // PingAM writes tokenType: JWTToken into ID tokens too, so it is no proof.
    [
      'of PingAM',
      { ...withoutScope, tokenName: 'access_token', tokenType: 'JWTToken', token_type: 'Bearer' },
    ],
    ...['purpose', 'type', 'tokenType', 'use', 'tokenUse', 'kind', 'tokenKind'].flatMap((name) =>
      [
        'access',
        'access_token',
        'Access-Token',
        'at+jwt',
        'urn:ietf:params:oauth:token-type:access_token',
      ].map((word): [string, object] => [`by ${name}: ${word}`, { ...withoutScope, [name]: word }]),
    ),
    ['by token_type: access_token', { ...withoutScope, token_type: 'access_token' }],
    ['with a scope of an API, and a type of something else', { ...ofClient, type: 'customer', kind: 7 }],
    ['with a scope of an API next to those of OpenID Connect', { ...ofClient, scope: 'openid email a' }],
  ])('%s', async (_title, claims, names) => {
    expect(await outcomeOf(claims, names)).toBe('admitted');
  });
});

it.each(['type', 'use', 'kind', 'scope'])(
  'a word by %s alone that no server has proves nothing',
  async (name) => {
    const claims = { ...ofClient, scope: undefined, [name]: name === 'scope' ? '  ' : 'customer' };
    expect(await outcomeOf(claims)).toBe(
      'jwt_type_not_accepted: it names no scope, so that it may be an ID token',
    );
  },
);
