import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { jwtAccessTokens, type ResourceServerOptions } from '@mtls-bound/core';
import { type JWTHeaderParameters, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import {
  audience,
  encryptedAudience,
  jwtAudience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import {
  answer,
  type Behaviour,
  type FaultyServer,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { generateP256 } from '../../support/key-pairs.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Pki } from '../../support/pki.js';
import { expectRefusal } from '../../support/refusals.js';

let pki: Pki;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});

/** No client id, no secret: who validates JWTs asks the server for its keys alone. */
const common = () => ({ http: { ca: pki.ca.cert, timeout: 0.5 } });
const invalidToken = { status: 401, error: 'invalid_token' };

describe.each(frameworks)('%s, with JWT access tokens of a real authorization server', (framework) => {
  let server: TestAuthorizationServer;
  let api: TestApi;
  beforeAll(async () => {
    server = await startAuthorizationServer(pki);
    api = await startApi(framework, pki, {
      ...common(),
      issuer: server.issuer,
      audience: jwtAudience,
      tokens: jwtAccessTokens(),
    });
  });
  afterAll(() => Promise.all([api?.close(), server?.stop()]));

  it('R9: a bound token passes with its own certificate alone, and no introspection is made', async () => {
    const { alice } = testClients(pki);
    const token = await server.token({ ...alice, resource: jwtAudience });
    expect(token.split('.')).toHaveLength(3);
    const response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
    expect(response.status).toBe(200);
    expect(response.body).toMatchObject({
      frozen: true,
      clientId: 'alice',
      scopes: ['accounts:read', 'payments:write'],
      claims: { iss: server.issuer, aud: jwtAudience, cnf: { 'x5t#S256': pki.alice.thumbprint } },
    });
    await expectRefusal(await call(pki, api, '/', pki.bob).auth(token, { type: 'bearer' }), invalidToken);
    await expectRefusal(await call(pki, api, '/').auth(token, { type: 'bearer' }), invalidToken);
    expect(server.introspections()).toBe(0);
  });

  it('an opaque token is no JWT', async () => {
    const token = await server.token(testClients(pki).alice);
    await expectRefusal(await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' }), invalidToken);
  });
});

it.each(frameworks)(
  'R99: %s accepts encrypted tokens of a real authorization server, and no others',
  async (framework) => {
    const server = await startAuthorizationServer(pki);
    const tokens = jwtAccessTokens({ decryptionKey: server.decryptionKey });
    const audiences = [encryptedAudience, jwtAudience];
    const api = await startApi(framework, pki, {
      ...common(),
      issuer: server.issuer,
      audience: audiences,
      tokens,
    });
    try {
      const { alice } = testClients(pki);
      const [encrypted = '', plain = ''] = await Promise.all(
        audiences.map((resource) => server.token({ ...alice, resource })),
      );
      expect([encrypted.split('.').length, plain.split('.').length]).toEqual([5, 3]);
      const granted = await call(pki, api, '/', pki.alice).auth(encrypted, { type: 'bearer' });
      expect([granted.status, granted.body.clientId]).toEqual([200, 'alice']);
      const refused = [encrypted.replace(/.$/, 'A'), `${encrypted.slice(0, -9)}AAAAAAAAA`, plain];
      for (const token of refused.filter((token) => token !== encrypted)) {
        await expectRefusal(
          await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' }),
          invalidToken,
        );
      }
    } finally {
      await Promise.all([api.close(), server.stop()]);
    }
  },
);

describe('validation (RFC 9068 §4, RFC 8725)', () => {
  let server: FaultyServer;
  let jwksFetches: number;
  let keySet: Behaviour;
  const es256 = generateP256();
  const other = generateP256();
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ed25519 = generateKeyPairSync('ed25519');
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const jwk = (key: KeyObject, more: object) => ({ ...key.export({ format: 'jwk' }), ...more });

  beforeAll(async () => {
    server = await startFaultyServer(pki);
    server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });
    server.introspection = (req, res, body) => {
      jwksFetches += 1;
      keySet(req, res, body);
    };
  });
  afterAll(() => server?.close());
  beforeEach(() => {
    jwksFetches = 0;
    keySet = answer(200, {
      keys: [
        jwk(es256.publicKey, { kid: 'es', alg: 'ES256', use: 'sig' }),
        jwk(rsa.publicKey, { kid: 'rsa', use: 'sig' }),
        jwk(ed25519.publicKey, { kid: 'ed', use: 'sig' }),
        jwk(other.publicKey, { kid: 'enc', use: 'enc' }),
        jwk(weak.publicKey, { kid: 'weak', use: 'sig' }),
        { kty: 'RSA', kid: 'broken' },
      ],
    });
  });

  const now = () => Math.floor(Date.now() / 1000);
  const claims = (changes: JWTPayload = {}): JWTPayload => ({
    iss: server.issuer,
    aud: audience,
    sub: 'user-1',
    client_id: 'alice',
    scope: 'accounts:read',
    jti: 'id-1',
    iat: now(),
    exp: now() + 300,
    cnf: { 'x5t#S256': pki.alice.thumbprint },
    ...changes,
  });

  const signed = (
    changes: JWTPayload = {},
    header: Partial<JWTHeaderParameters> = {},
    key: KeyObject | Uint8Array = es256.privateKey,
  ) =>
    new SignJWT(claims(changes))
      .setProtectedHeader({ alg: 'ES256', kid: 'es', typ: 'at+jwt', ...header })
      .sign(key as never);

  async function status(tokens: string[], more: ResourceServerOptions = {}): Promise<number[]> {
    const api = await startApi('Koa', pki, {
      ...common(),
      issuer: server.issuer,
      audience,
      tokens: jwtAccessTokens(),
      ...more,
    });
    try {
      const statuses = [];
      for (const token of tokens) {
        statuses.push((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status);
      }
      return statuses;
    } finally {
      await api.close();
    }
  }

  /** By node:crypto: jose does not sign with such a key. */
  const signedByWeakKey = () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const input = `${part({ alg: 'PS256', kid: 'weak', typ: 'at+jwt' })}.${part(claims())}`;
    const key = {
      key: weak.privateKey,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    };
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
  };
  const without = (name: string) => () => signed({ [name]: undefined });
  const flipped = async () => {
    const [header, payload, signature = ''] = (await signed()).split('.');
    return `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
  };

  it.each<[string, () => Promise<string>, number]>([
    ['R98: as the RFC writes it', () => signed(), 200],
    ['R98: typ application/at+jwt', () => signed({}, { typ: 'application/at+jwt' }), 200],
    ['R98: typ in the RFC’s own other spelling', () => signed({}, { typ: 'at+JWT' }), 200],
    ['R98: typ JWT', () => signed({}, { typ: 'JWT' }), 401],
    ['R98: no typ', () => signed({}, { typ: undefined as never }), 401],
    ['R75 R98: a signed introspection answer', () => signed({}, { typ: 'token-introspection+jwt' }), 401],
    ['R100: another issuer', () => signed({ iss: 'https://other.example.com' }), 401],
    ['R100: the issuer with a slash more', () => signed({ iss: `${server.issuer}/` }), 401],
    ['R101: audiences with ours', () => signed({ aud: ['https://x.example', audience] }), 200],
    ['R101: another audience', () => signed({ aud: 'https://other.example.com' }), 401],
    ['R101: no audience', without('aud'), 401],
    ['R102: a flipped bit', flipped, 401],
    ['R102: alg none', async () => new UnsecuredJWT(claims()).encode(), 401],
    ['R102: signed by an unknown key', () => signed({}, {}, other.privateKey), 401],
    ['R103: PS256', () => signed({}, { alg: 'PS256', kid: 'rsa' }, rsa.privateKey), 200],
    ['R103: EdDSA', () => signed({}, { alg: 'EdDSA', kid: 'ed' }, ed25519.privateKey), 200],
    ['R103: RS256, which is not listed', () => signed({}, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey), 401],
    ['R104: expired beyond the tolerance', () => signed({ exp: now() - 31 }), 401],
    ['R104: expired within it', () => signed({ exp: now() - 5 }), 200],
    ['R49: nbf ahead', () => signed({ nbf: now() + 61 }), 401],
    ['R49: iat ahead', () => signed({ iat: now() + 61 }), 401],
    ...['iss', 'exp', 'sub', 'client_id', 'iat', 'jti'].map(
      (name): [string, () => Promise<string>, number] => [`R105: no ${name}`, without(name), 401],
    ),
    ['R105: client_id of another type', () => signed({ client_id: 7 }), 401],
    [
      'R108: a key that the token brings',
      () => signed({}, { jwk: jwk(other.publicKey, { kid: 'brought' }), kid: 'brought' }, other.privateKey),
      401,
    ],
    ['R109: a key for encryption', () => signed({}, { kid: 'enc' }, other.privateKey), 401],
    [
      'R110: HS256 with the public key',
      () =>
        signed(
          {},
          { alg: 'HS256', kid: 'rsa' },
          Buffer.from(rsa.publicKey.export({ type: 'spki', format: 'pem' })),
        ),
      401,
    ],
    ['R111: a weak key of the server', async () => signedByWeakKey(), 401],
    ['R114: a kid that is a path', () => signed({}, { kid: '../../etc/passwd' }), 401],
    [
      'R115: an unknown crit',
      async () => {
        const [, payload, signature] = (await signed()).split('.');
        const header = Buffer.from(
          JSON.stringify({ alg: 'ES256', kid: 'es', typ: 'at+jwt', crit: ['x'], x: 1 }),
        );
        return `${header.toString('base64url')}.${payload}.${signature}`;
      },
      401,
    ],
    ['R117: five parts', async () => `${await signed()}.a.b`, 401],
    ['R12: no cnf', without('cnf'), 401],
    ['R13: cnf of DPoP', () => signed({ cnf: { jkt: 'x' } }), 401],
    ['no kid, one key that fits', () => signed({}, { kid: undefined as never }), 200],
  ])('%s', async (_title, token, expected) => {
    expect(await status([await token()])).toEqual([expected]);
  });

  it('R103: RS256 when it is named', async () => {
    const tokens = jwtAccessTokens({ algorithms: ['RS256'] });
    const rs256 = await signed({}, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey);
    expect(await status([rs256, await signed()], { tokens })).toEqual([200, 401]);
  });

  it('R112: of several keys with one kid, the one that fits', async () => {
    keySet = answer(200, {
      keys: [jwk(other.publicKey, { kid: 'twin' }), jwk(es256.publicKey, { kid: 'twin' })],
    });
    const tokens = [
      await signed({}, { kid: 'twin' }),
      await signed({ jti: '2' }, { kid: undefined as never }),
    ];
    expect(await status(tokens)).toEqual([200, 200]);
  });

  it('R113: a rotation is followed within one request; invented key ids cost few fetches', async () => {
    const next = generateP256();
    const before = await signed();
    const after = await signed({}, { kid: 'next' }, next.privateKey);
    const api = await startApi('Express', pki, {
      ...common(),
      issuer: server.issuer,
      audience,
      tokens: jwtAccessTokens(),
    });
    const statusOf = async (token: string) =>
      (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
    try {
      expect([await statusOf(before), jwksFetches]).toEqual([200, 1]);
      keySet = answer(200, { keys: [jwk(next.publicKey, { kid: 'next' })] });
      expect([await statusOf(after), jwksFetches]).toEqual([200, 2]);
      const invented = await Promise.all(
        Array.from({ length: 100 }, (_, i) => signed({ jti: `${i}` }, { kid: `invented-${i}` })),
      );
      const began = performance.now();
      expect(new Set(await Promise.all(invented.map(statusOf)))).toEqual(new Set([401]));
      const seconds = Math.ceil((performance.now() - began) / 1000);
      // The two from before, five at once, and one more in each second.
      expect(jwksFetches).toBeLessThanOrEqual(2 + 5 + seconds);
    } finally {
      await api.close();
    }
  }, 120_000);

  it('a key that the server withdraws serves for ten minutes more', async () => {
    const hour = 3_600;
    const api = await startApi('Koa', pki, {
      ...common(),
      issuer: server.issuer,
      audience,
      tokens: jwtAccessTokens(),
    });
    const statusOf = async (token: string) =>
      (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
    try {
      const tokens = await Promise.all(['1', '2', '3'].map((jti) => signed({ jti, exp: now() + hour })));
      vi.useFakeTimers({ toFake: ['Date'] });
      expect(await statusOf(tokens[0] ?? '')).toBe(200);
      keySet = answer(200, { keys: [] });
      vi.setSystemTime(Date.now() + 598_000);
      expect(await statusOf(tokens[1] ?? '')).toBe(200);
      vi.setSystemTime(Date.now() + 3_000);
      expect(await statusOf(tokens[2] ?? '')).toBe(401);
      // What was said of a token before is remembered beside that.
      expect(await statusOf(tokens[1] ?? '')).toBe(200);
    } finally {
      vi.useRealTimers();
      await api.close();
    }
  });

  it.each<[string, () => Behaviour]>([
    ['a server error', () => answer(500, '')],
    ['no key set', () => answer(200, { nothing: true })],
    ['no JSON', () => answer(200, '<html>')],
    ['no answer', () => () => undefined],
  ])('R113: keys that can’t be had are 503, not 401: %s', async (_title, behaviour) => {
    keySet = behaviour();
    expect(await status([await signed()])).toEqual([503]);
  });

  it.each([[undefined], ['/jwks'], [7]])(
    'R125: a jwks_uri that is not https is not asked: %s',
    async (uri) => {
      server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: uri });
      expect(await status([await signed()])).toEqual([503]);
      expect(jwksFetches).toBe(0);
      server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });
    },
  );

  it('a hot token costs a look-up, not a signature: its keys may be gone', async () => {
    const api = await startApi('Koa', pki, {
      ...common(),
      issuer: server.issuer,
      audience,
      tokens: jwtAccessTokens(),
    });
    try {
      const token = await signed();
      const statusOf = async () =>
        (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
      expect(await statusOf()).toBe(200);
      keySet = answer(500, '');
      expect([await statusOf(), await statusOf(), jwksFetches]).toEqual([200, 200, 1]);
    } finally {
      await api.close();
    }
  });

  it('wrong options are refused at start-up', async () => {
    expect(() => jwtAccessTokens({ algorithms: ['none' as never] })).toThrow(
      mismatch('jwtAccessTokens().algorithms', 'a list'),
    );
    expect(() => jwtAccessTokens({ algorithms: [] })).toThrow(
      mismatch('jwtAccessTokens().algorithms', 'a list'),
    );
    await expect(status([], { audience: 'server-enforced' })).rejects.toThrow(
      mismatch('audience', "'server-enforced'", 'the identifier of this API next to jwtAccessTokens()'),
    );
    await expect(status([], { tokens: jwtAccessTokens as never })).rejects.toThrow(
      mismatch('tokens', 'a function'),
    );
  });
});
