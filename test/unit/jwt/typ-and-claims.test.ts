// JWT access tokens of servers that do not write them as RFC 9068 says: what the options `typ`, `claims` and `requiredClaims` accept, and
// which other JWTs of the same server they keep out.
import {
  activeTokenPolicy,
  anyScopePolicy,
  createResourceServer,
  introspection,
  type JwtAccessTokensOptions,
  jwtAccessTokens,
  type ResourceServer,
  scopesPolicy,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type PretendIssuer, pretendIssuer } from '../../support/pretend-issuer.js';
import { outcomeOf, requestWith } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
const now = () => Math.floor(Date.now() / 1000);
const admitted = recordedEvents<{ clientId: string }>('mtls-bound:admitted');

let kit: TestKit;
let as: PretendIssuer;
let server: ResourceServer | undefined;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});
beforeEach(() => {
  as = pretendIssuer(issuer);
});
afterEach(async () => {
  await server?.close();
  server = undefined;
});

const start = (options: JwtAccessTokensOptions = {}, more: object = {}): ResourceServer => {
  server = createResourceServer({
    issuer,
    audience,
    tokens: jwtAccessTokens(options),
    certificate: () => kit.certificate,
    http: { fetch: as.fetch },
    ...more,
  });
  return server;
};

/** As RFC 9068 has it, with changes. */
const claims = (changes: object = {}) => ({
  iss: issuer,
  aud: audience,
  sub: 'user-1',
  client_id: 'alice',
  scope: 'accounts:read',
  jti: 'one',
  iat: now(),
  exp: now() + 600,
  cnf: { 'x5t#S256': kit.certificate.thumbprint },
  ...changes,
});

const without = (...names: string[]) => Object.fromEntries(names.map((name) => [name, undefined]));

/** The message of the refusal, or `admitted`. */
async function messageOf(options: JwtAccessTokensOptions, changes: object, typ?: string): Promise<string> {
  const token = await as.sign(claims(changes), { alg: 'ES256', typ });
  try {
    await start(options).authorize(requestWith(token));
    return 'admitted';
  } catch (thrown) {
    const { status, error, message } = thrown as { status: number; error: string; message: string };
    expect([status, error]).toEqual([401, 'invalid_token']);
    return message;
  }
}

describe('typ', () => {
  it.each<[string, readonly string[] | undefined, string | undefined, string]>([
    ['JWT, which is not named', undefined, 'JWT', 'expected typ at+jwt, got "JWT"'],
    ['none, which is not named', ['at+jwt', 'JWT'], undefined, 'expected typ at+jwt or jwt, got none'],
    ['at+jwt, which is not named', ['JWT'], 'at+jwt', 'expected typ jwt, got "at+jwt"'],
    ['at+jwt, where none is named', ['absent'], 'at+jwt', 'expected typ absent, got "at+jwt"'],
    ['an empty one, where none is named', ['absent'], '', 'admitted'],
    ['JWT', ['JWT'], 'JWT', 'admitted'],
    ['JWT in another case', ['jwt'], 'Jwt', 'admitted'],
    ['none', ['absent'], undefined, 'admitted'],
    ['at+jwt of several', ['at+jwt', 'JWT', 'absent'], 'application/at+jwt', 'admitted'],
    ['a type of the server', ['okta-internal-at+jwt'], 'application/okta-internal-at+jwt', 'admitted'],
    ['a logout token', ['JWT', 'absent'], 'logout+jwt', 'expected typ jwt or absent, got "logout+jwt"'],
  ])('%s', async (_title, typ, found, expected) => {
    const message = await messageOf({ ...(typ && { typ }) }, {}, found);
    expect(message).toBe(expected === 'admitted' ? expected : `jwt_type_not_accepted: ${expected}`);
  });
});

describe('a JWT that is no access token is refused by what it has', () => {
  const typ = ['at+jwt', 'JWT', 'absent'];

  it.each<[string, object, string]>([
    ['an ID token with nonce', { nonce: 'n' }, 'it has nonce, as an ID token has'],
    ['an ID token with at_hash', { at_hash: 'h' }, 'it has at_hash, as an ID token has'],
    ['an ID token with c_hash', { c_hash: 'h' }, 'it has c_hash, as an ID token has'],
    ['an ID token with s_hash', { s_hash: 'h' }, 'it has s_hash, as an ID token has'],
    [
      'an ID token with no mark, for the client itself',
      { ...without('scope'), aud: [audience, 'alice'] },
      'it names no scope, so that it may be an ID token; its typ is not at+jwt',
    ],
    [
      'an ID token with no mark, for this API as another client',
      { ...without('scope'), azp: 'app' },
      'it names no scope, so that it may be an ID token; its typ is not at+jwt',
    ],
    [
      'one whose scope is empty',
      { scope: ' ' },
      'it names no scope, so that it may be an ID token; its typ is not at+jwt',
    ],
    [
      'one whose scope is null',
      { scope: null },
      'it names no scope, so that it may be an ID token; its typ is not at+jwt',
    ],
    [
      'a logout token or SET',
      { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } },
      'it has events, as a logout token or a security event token has',
    ],
    [
      'an introspection answer',
      { token_introspection: { active: true } },
      'it has token_introspection, as an introspection answer has',
    ],
    ['an authorization response', { code: 'c' }, 'it has code, as an authorization response has'],
    ...['access_token', 'id_token', 'error'].map((name): [string, object, string] => [
      `an authorization response with ${name}`,
      { [name]: 'x' },
      `it has ${name}, as an authorization response has`,
    ]),
    ...['ID', 'Refresh', 'Offline', 'Logout', 'Serialized-ID'].map((kind): [string, object, string] => [
      `Keycloak's ${kind}`,
      { typ: kind },
      `its claim typ is "${kind}"`,
    ]),
    ['one whose claim typ is no text', { typ: ['Bearer'] }, 'its claim typ is another value'],
    ['one whose claim typ says something else', { typ: 'of alice' }, 'its claim typ is another value'],
    [
      'one whose claim token_use says something of a person',
      { token_use: 'person-4711:id' },
      'its claim token_use is another value',
    ],
    [
      'one whose claim use says a whole name',
      { use: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'its claim use is "urn:ietf:params:oauth:token-type:refresh_token"',
    ],
    ['at_hash beside typ Bearer', { at_hash: 'h', typ: 'Bearer' }, 'it has at_hash, as an ID token has'],
    [
      'two claims that say different things',
      { typ: 'Bearer', token_use: 'id' },
      'its claim token_use is "id"',
    ],
    ["Cognito's ID token", { token_use: 'id' }, 'its claim token_use is "id"'],
    ["PingAM's ID token", { tokenName: 'id_token' }, 'its claim tokenName is "id_token"'],
    ["Curity's ID token", { purpose: 'id' }, 'its claim purpose is "id"'],
  ])('%s', async (_title, changes, expected) => {
    for (const found of ['JWT', undefined]) {
      const message = await messageOf({ typ }, changes, found);
      expect(message).toBe(
        `jwt_type_not_accepted: ${found === undefined ? expected.replace('typ is not at+jwt', 'typ is none') : expected}`,
      );
    }
  });

  it.each<[string, object]>([
    ['a scope', {}],
    ['no scope, but typ Bearer', { ...without('scope'), typ: 'Bearer' }],
    ['no scope, but token_use access', { ...without('scope'), token_use: 'access' }],
    ['no scope, but tokenName access_token', { ...without('scope'), tokenName: 'access_token' }],
    ['no scope, but purpose access_token', { ...without('scope'), purpose: 'access_token' }],
    ['a scope, and a purpose that is something else', { purpose: 'payment' }],
    ['nonce, which older versions of Keycloak write, and typ Bearer', { nonce: 'n', typ: 'Bearer' }],
    ['nonce, which older versions of PingAM write, and tokenName', { nonce: 'n', tokenName: 'access_token' }],
    ['null where an ID token has something', { nonce: null, at_hash: null }],
  ])('an access token is accepted: with %s', async (_title, changes) => {
    expect(await messageOf({ typ }, changes, 'JWT')).toBe('admitted');
  });

  it('the type of RFC 9068 is enough, also without a scope', async () => {
    expect(await messageOf({ typ }, { ...without('scope'), nonce: 'n' }, 'at+jwt')).toBe('admitted');
  });

  it('its own audience, issuer and end are demanded as ever', async () => {
    expect(await messageOf({ typ }, { aud: 'alice' }, 'JWT')).toMatch(/^token_wrong_audience: /);
    expect(await messageOf({ typ }, { iss: 'https://other.example.com' }, 'JWT')).toMatch(
      /^token_wrong_issuer: /,
    );
    expect(await messageOf({ typ }, { exp: now() - 100 }, 'JWT')).toMatch(/^token_expired: /);
  });
});

describe('claims', () => {
  const mapped = { clientId: 'cid', scope: 'scp', subject: 'uid' };
  const oktas = { ...without('client_id', 'scope'), cid: 'app', scp: ['accounts:read', 'b'], uid: 'u-1' };

  it('what they name is the client, the scopes and the subject', async () => {
    const token = await as.sign(claims(oktas), { alg: 'ES256', typ: 'at+jwt' });
    const auth = await start({ claims: mapped }).authorize(requestWith(token));
    expect(auth).toMatchObject({
      clientId: 'app',
      subject: 'u-1',
      scopes: ['accounts:read', 'b'],
      claims: {
        client_id: 'app',
        sub: 'u-1',
        scope: 'accounts:read b',
        cid: 'app',
        scp: ['accounts:read', 'b'],
      },
    });
  });

  it('policies and events see them, at the first request and from the cache', async () => {
    const token = await as.sign(claims(oktas), { alg: 'ES256', typ: 'at+jwt' });
    const api = start({ claims: mapped });
    for (const _request of ['first', 'second']) {
      const request = requestWith(token);
      const auth = await api.authorize(request);
      expect(await outcomeOf(() => api.require(request, auth, scopesPolicy(['accounts:read', 'b'])))).toBe(
        'admitted',
      );
      expect(await outcomeOf(() => api.require(request, auth, anyScopePolicy(['payments:write'])))).toBe(
        'scope_insufficient',
      );
      expect(admitted.at(-1)?.clientId).toBe('app');
    }
    expect(as.asked.filter((path) => path === 'jwks')).toHaveLength(1);
  });

  it.each([[{ clientId: 'app' }], [{ subject: 'u-1' }]])('tokens of %j are revoked', async (revoked) => {
    const api = start({ claims: mapped });
    const token = await as.sign(claims({ ...oktas, iat: now() - 100 }), { alg: 'ES256', typ: 'at+jwt' });
    expect(await outcomeOf(() => api.authorize(requestWith(token)))).toBe('admitted');
    await api.revoke({ clientId: 'alice' } as never);
    await api.revoke({ subject: 'user-1' } as never);
    expect(await outcomeOf(() => api.authorize(requestWith(token)))).toBe('admitted');
    await api.revoke(revoked as never);
    expect(await outcomeOf(() => api.authorize(requestWith(token)))).toBe('token_inactive');
  });

  it('what the token itself has under a standard name does not count', async () => {
    const token = await as.sign(claims({ scp: undefined, cid: 'app', uid: 'u-1', scope: 'everything' }), {
      alg: 'ES256',
      typ: 'at+jwt',
    });
    const auth = await start({ claims: mapped }).authorize(requestWith(token));
    expect(auth).toMatchObject({ clientId: 'app', subject: 'u-1', scopes: [] });
    expect(auth?.claims).not.toHaveProperty('scope');
  });

  it.each<[string, JwtAccessTokensOptions, object, string]>([
    ['a scope of blanks and names', { claims: { scope: 'scp' } }, { scp: 'a b' }, 'admitted'],
    ['a list under its own name', { claims: { scope: 'scope' } }, { scope: ['a'] }, 'admitted'],
    ['an empty list', { claims: { scope: 'scope' } }, { scope: [] }, 'admitted'],
    [
      'a list that was not asked for',
      {},
      { scope: ['a'] },
      "scope is not a string, but a list; claims: { scope: 'scope' } accepts one",
    ],
    ...[['a b'], ['a', 7], [''], [null], [['a']], ['a\u0000']].map(
      (scp): [string, JwtAccessTokensOptions, object, string] => [
        `a list of ${JSON.stringify(scp)}`,
        { claims: { scope: 'scp' } },
        { scp },
        'scp is a list of something else than scopes',
      ],
    ),
    ['scopes as an object', { claims: { scope: 'scp' } }, { scp: {} }, 'scp is not a string'],
    ['a client id as a number', { claims: { clientId: 'cid' } }, { cid: 7 }, 'cid is not a string'],
    ['a subject as a list', { claims: { subject: 'oid' } }, { oid: ['a'] }, 'oid is not a string'],
    ['no client id under its name', { claims: { clientId: 'azp' } }, {}, 'no azp'],
    ['a client id that is null', { claims: { clientId: 'azp' } }, { azp: null }, 'no azp'],
  ])('%s', async (_title, options, changes, expected) => {
    const message = await messageOf(options, changes, 'at+jwt');
    expect(message).toBe(expected === 'admitted' ? expected : `token_claims_malformed: ${expected}`);
  });

  describe('the server is asked about such a token', () => {
    const ask = async (answer: object) => {
      const token = await as.sign(claims(oktas), { alg: 'ES256', typ: 'at+jwt' });
      as.introspect = () => ({ active: true, ...answer });
      const api = start(
        { claims: mapped, introspection: introspection() },
        { clientId: 'api', clientSecret: 'a-client-secret' },
      );
      const request = requestWith(token);
      const auth = await api.authorize(request);
      return api.require(request, auth, activeTokenPolicy);
    };

    it.each<[string, object, string[]]>([
      ['in the standard names', { client_id: 'app', scope: 'accounts:read b' }, ['accounts:read', 'b']],
      ['in its own names', { cid: 'app', scp: ['b'], uid: 'u-1', sub: 'user-1' }, ['b']],
      ['with nothing', {}, ['accounts:read', 'b']],
    ])('and answers %s', async (_title, answer, scopes) => {
      expect(await ask(answer)).toMatchObject({ clientId: 'app', subject: 'u-1', scopes });
    });

    it.each([
      ['another client', { cid: 'other' }],
      ['another client, in the standard name', { client_id: 'other' }],
      ['another subject', { uid: 'u-2' }],
    ])('and names %s', async (_title, answer) => {
      expect(await outcomeOf(() => ask(answer))).toBe('token_inactive');
    });
  });
});

describe('requiredClaims', () => {
  it.each<[string, JwtAccessTokensOptions, string[], string]>([
    ['the default', {}, ['jti'], 'token_claims_malformed: no jti'],
    ['all but jti', { requiredClaims: ['sub', 'client_id', 'iat'] }, ['jti'], 'admitted'],
    ['all but sub', { requiredClaims: ['client_id', 'iat', 'jti'] }, ['sub'], 'admitted'],
    ['none', { requiredClaims: [] }, ['sub', 'client_id', 'iat', 'jti', 'scope'], 'admitted'],
    ['none, and no exp', { requiredClaims: [] }, ['exp'], 'token_claims_malformed: no exp'],
    [
      'none, and no iss',
      { requiredClaims: [] },
      ['iss'],
      `token_wrong_issuer: expected iss ${issuer}, got none`,
    ],
    [
      'none, and no aud',
      { requiredClaims: [] },
      ['aud'],
      `token_wrong_audience: expected aud ${audience}, got none`,
    ],
    ['one of its own', { requiredClaims: ['uti'] }, [], 'token_claims_malformed: no uti'],
  ])('%s', async (_title, options, missing, expected) => {
    expect(await messageOf(options, without(...missing), 'at+jwt')).toBe(expected);
  });

  it('a claim that is not required has to be well formed', async () => {
    expect(await messageOf({ requiredClaims: [] }, { jti: 7 }, 'at+jwt')).toBe(
      'token_claims_malformed: jti is not a string',
    );
    expect(await messageOf({ requiredClaims: [] }, { sub: 7 }, 'at+jwt')).toBe(
      'token_claims_malformed: sub is not a string',
    );
  });
});
