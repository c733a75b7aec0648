// Which key and which algorithm may have made a token's signature, and which may have encrypted it.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import { createResourceServer, jwtAccessTokens, type ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import * as jose from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { generateP256 } from '../../support/key-pairs.js';
import { close, listen } from '../../support/loopback.js';
import { outcomeOf, requestWith } from '../../support/pretend-server.js';

const verifications = vi.hoisted(() => [] as unknown[]);
vi.mock('jose', async (original) => {
  const real = await original<typeof jose>();
  const jwtVerify = (...given: Parameters<typeof real.jwtVerify>) => {
    verifications.push(given[2]);
    return real.jwtVerify(...given);
  };
  return { ...real, jwtVerify };
});

const issuer = 'https://as.example.com';
let kit: TestKit;
/** The key set, and the metadata, of the authorization server from now on. */
let keys: object[];
let metadata: object;
let fetches: string[];

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});
beforeEach(() => {
  keys = [];
  fetches = [];
  verifications.length = 0;
  metadata = { issuer, jwks_uri: `${issuer}/jwks`, tls_client_certificate_bound_access_tokens: true };
});
afterEach(() => {
  vi.useRealTimers();
});

const ec = () => generateP256();
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const es = ec();
const jwk = (key: KeyObject, more: object = {}) => ({
  ...key.export({ format: 'jwk' }),
  use: 'sig',
  ...more,
});
const now = () => Math.floor(Date.now() / 1000);

function signed(alg: string, kid: string | undefined, key: KeyObject | Uint8Array, header: object = {}) {
  const claims = {
    iss: issuer,
    aud: audience,
    sub: 'user-1',
    client_id: 'alice',
    jti: `${Math.random()}`,
    iat: now(),
    exp: now() + 3_000,
    cnf: { 'x5t#S256': kit.certificate.thumbprint },
  };
  return new jose.SignJWT(claims)
    .setProtectedHeader({ alg, typ: 'at+jwt', ...(kid !== undefined && { kid }), ...header })
    .sign(key);
}

function resourceServer(tokens = jwtAccessTokens(), more: ResourceServerOptions = {}) {
  const fetch = async (url: string): Promise<Response> => {
    fetches.push(url);
    return Response.json(url.includes('/.well-known/') ? metadata : { keys });
  };
  const server = createResourceServer({
    issuer,
    audience,
    tokens,
    certificate: () => kit.certificate,
    floodGuard: false,
    ...more,
    http: { fetch: fetch as typeof globalThis.fetch, ...more.http },
  });
  return async (token: Promise<string> | string) => {
    const request = requestWith(await token);
    return outcomeOf(() => server.authorize(request));
  };
}

describe('the algorithm', () => {
  const twins = () => [jwk(otherRsa.publicKey, { kid: 'twin' }), jwk(rsa.publicKey, { kid: 'twin' })];
  const sets: [string, () => object[], string | undefined][] = [
    ['one key fits', () => [jwk(rsa.publicKey, { kid: 'twin' })], 'twin'],
    ['several keys fit the kid', twins, 'twin'],
    ['several keys fit a token without kid', twins, undefined],
  ];
  it.each(sets)('where %s, one of the list passes and any other is refused', async (_title, set, kid) => {
    keys = set();
    const decide = resourceServer();
    expect(await decide(signed('PS256', kid, rsa.privateKey))).toBe('admitted');
    for (const alg of ['RS256', 'RS384', 'RS512', 'PS384', 'PS512']) {
      expect([alg, await decide(signed(alg, kid, rsa.privateKey))]).toEqual([
        alg,
        'jwt_algorithm_not_accepted',
      ]);
    }
    const rs256 = resourceServer(jwtAccessTokens({ algorithms: ['RS256'] }));
    expect(await rs256(signed('RS256', kid, rsa.privateKey))).toBe('admitted');
    expect(await rs256(signed('PS256', kid, rsa.privateKey))).toBe('jwt_algorithm_not_accepted');
  });

  it.each(sets)(
    'where %s, every check of a signature names algorithms, type, issuer and audience',
    async (_title, set, kid) => {
      keys = set();
      await resourceServer(jwtAccessTokens({ algorithms: ['PS256'] }))(signed('PS256', kid, rsa.privateKey));
      expect(verifications.length).toBeGreaterThan(0);
      for (const rules of verifications) {
        expect(rules).toMatchObject({ algorithms: ['PS256'], typ: 'at+jwt', issuer, audience: [audience] });
      }
    },
  );

  it.each(sets)('where %s, a signature by another key is refused', async (_title, set, kid) => {
    keys = set();
    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
    expect(await resourceServer()(signed('PS256', kid, stranger.privateKey))).toBe('jwt_signature_invalid');
  });

  it('the profile narrows it', async () => {
    keys = [jwk(rsa.publicKey, { kid: 'a' })];
    expect(() =>
      resourceServer(jwtAccessTokens({ algorithms: ['RS256'] }), { profile: 'fapi2' } as never),
    ).toThrow();
  });
});

describe('the key', () => {
  const stranger = ec();
  const own = () => jwk(stranger.publicKey, { kid: 'brought' });
  it.each<[string, () => object, string | undefined]>([
    ['that the token brings', () => ({ jwk: own() }), 'brought'],
    ['that the token brings, without kid', () => ({ jwk: own() }), undefined],
    ['that the token brings under a kid of the server', () => ({ jwk: own() }), 'es'],
    ['that the token points to', () => ({ jku: 'https://attacker.example.com/jwks' }), 'brought'],
    [
      'that the token points to, without kid',
      () => ({ jku: 'https://attacker.example.com/jwks' }),
      undefined,
    ],
    [
      'in a certificate that the token points to',
      () => ({ x5u: 'https://attacker.example.com/c' }),
      'brought',
    ],
    ['that nothing names', () => ({}), 'unknown'],
  ])('R108: a key %s is never used, and nothing but the server is asked', async (_title, header, kid) => {
    keys = [jwk(es.publicKey, { kid: 'es' })];
    const decide = resourceServer();
    expect(await decide(signed('ES256', 'es', es.privateKey))).toBe('admitted');
    const isKidKnown = kid === undefined || kid === 'es';
    expect(await decide(signed('ES256', kid, stranger.privateKey, header()))).toBe(
      isKidKnown ? 'jwt_signature_invalid' : 'jwt_key_unknown',
    );
    // The answer is equal where the server has no key at all, or several that fit.
    for (const [set, expected] of [
      [[], 'jwt_key_unknown'],
      [
        [jwk(es.publicKey), jwk(ec().publicKey)],
        kid === undefined ? 'jwt_signature_invalid' : 'jwt_key_unknown',
      ],
    ] as const) {
      keys = [...set];
      const other = resourceServer();
      expect(await other(signed('ES256', kid, stranger.privateKey, header()))).toBe(expected);
    }
    expect(fetches.filter((url) => !url.startsWith(issuer))).toEqual([]);
  });

  it.each<[string, object]>([
    ['for encryption', { use: 'enc' }],
    ['for another algorithm', { alg: 'ES384' }],
    ['that may not verify', { use: undefined, key_ops: ['encrypt'] }],
  ])('%s does not count', async (_title, more) => {
    keys = [jwk(es.publicKey, { kid: 'es', ...more })];
    expect(await resourceServer()(signed('ES256', 'es', es.privateKey))).toBe('jwt_key_unknown');
  });

  it('the public key as a shared secret does not count', async () => {
    keys = [jwk(rsa.publicKey, { kid: 'a' }), { kty: 'oct', kid: 'oct', k: 'AAAA' }];
    const decide = resourceServer();
    for (const kid of ['a', 'oct', undefined]) {
      const secret =
        kid === 'oct' ? Buffer.alloc(3) : Buffer.from(rsa.publicKey.export({ type: 'spki', format: 'pem' }));
      const padded = Buffer.concat([secret, Buffer.alloc(32)]);
      expect(await decide(signed('HS256', kid, padded))).toBe('jwt_algorithm_not_accepted');
    }
  });
});

describe('keys are fetched again', () => {
  it('a rotation is followed after an invented key id, as soon as ten seconds have passed', async () => {
    const [first, second, third] = [ec(), ec(), ec()];
    keys = [jwk(first.publicKey, { kid: '1' })];
    // Before the resource server is made: it has one clock from its start.
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    const decide = resourceServer();
    expect(await decide(signed('ES256', '1', first.privateKey))).toBe('admitted');
    for (const [kid, key] of [
      ['2', second],
      ['3', third],
    ] as const) {
      expect(await decide(signed('ES256', `invented-${kid}`, first.privateKey))).toBe('jwt_key_unknown');
      keys = [jwk(key.publicKey, { kid })];
      vi.advanceTimersByTime(11_000);
      expect(await decide(signed('ES256', kid, key.privateKey))).toBe('admitted');
    }
  });

  it('a key that the server has withdrawn serves no longer than ten minutes', async () => {
    keys = [jwk(es.publicKey, { kid: 'es' })];
    // Before the resource server is made: it has one clock from its start.
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    const decide = resourceServer();
    expect(await decide(signed('ES256', 'es', es.privateKey))).toBe('admitted');
    keys = [jwk(ec().publicKey, { kid: 'next' })];
    vi.advanceTimersByTime(601_000);
    expect(await decide(signed('ES256', 'es', es.privateKey))).toBe('jwt_key_unknown');
  });
});

describe('jwks_uri', () => {
  it('R125: over plain HTTP it is not asked, though a server there has the keys', async () => {
    let asked = 0;
    const plain = createServer((_req, res) => {
      asked += 1;
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ keys: [jwk(es.publicKey, { kid: 'es' })] }));
    });
    const port = await listen(plain);
    try {
      metadata = { issuer, jwks_uri: `http://127.0.0.1:${port}/jwks` };
      const byFetch = async (url: string) =>
        url.includes('/.well-known/') ? Response.json(metadata) : globalThis.fetch(url);
      const decide = resourceServer(jwtAccessTokens(), {
        http: { fetch: byFetch as typeof globalThis.fetch },
      });
      expect(await decide(signed('ES256', 'es', es.privateKey))).toBe('authorization_server_unsuitable');
      expect(asked).toBe(0);
    } finally {
      await close(plain);
    }
  });

  it.each([
    ['http in another case', 'HTTP://as.example.com/jwks'],
    ['a file', 'file:///etc/jwks.json'],
    ['data', 'data:application/json,{"keys":[]}'],
    ['no URL', 'as.example.com/jwks'],
    ['empty', ''],
  ])('%s is not asked', async (_title, uri) => {
    keys = [jwk(es.publicKey, { kid: 'es' })];
    metadata = { issuer, jwks_uri: uri };
    expect(await resourceServer()(signed('ES256', 'es', es.privateKey))).toBe(
      'authorization_server_unsuitable',
    );
    expect(fetches.filter((url) => !url.includes('/.well-known/'))).toEqual([]);
  });
});

describe('encrypted tokens', () => {
  const encryptionEc = ec();
  const encrypt = async (alg: string, enc: string, key: KeyObject) =>
    new jose.CompactEncrypt(Buffer.from(await signed('ES256', 'es', es.privateKey)))
      .setProtectedHeader({ alg, enc, typ: 'JWT', cty: 'JWT' })
      .encrypt(key);
  const decryptionKey = [rsa, encryptionEc].map(({ privateKey }) =>
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );

  it.each<[string, string, KeyObject, string]>([
    ['RSA-OAEP', 'A256GCM', rsa.publicKey, 'admitted'],
    ['RSA-OAEP-256', 'A128GCM', rsa.publicKey, 'admitted'],
    ['ECDH-ES', 'A128CBC-HS256', encryptionEc.publicKey, 'admitted'],
    ['ECDH-ES+A128KW', 'A256CBC-HS512', encryptionEc.publicKey, 'admitted'],
    ['ECDH-ES+A256KW', 'A256GCM', encryptionEc.publicKey, 'admitted'],
    ['RSA-OAEP-384', 'A256GCM', rsa.publicKey, 'jwt_algorithm_not_accepted'],
    ['RSA-OAEP-512', 'A256GCM', rsa.publicKey, 'jwt_algorithm_not_accepted'],
    ['ECDH-ES+A192KW', 'A256GCM', encryptionEc.publicKey, 'jwt_algorithm_not_accepted'],
    ['RSA-OAEP', 'A192GCM', rsa.publicKey, 'jwt_algorithm_not_accepted'],
    ['ECDH-ES', 'A192CBC-HS384', encryptionEc.publicKey, 'jwt_algorithm_not_accepted'],
  ])('%s with %s', async (alg, enc, key, expected) => {
    keys = [jwk(es.publicKey, { kid: 'es' })];
    const decide = resourceServer(jwtAccessTokens({ decryptionKey }));
    expect(await decide(encrypt(alg, enc, key))).toBe(expected);
  });

  it('what is signed alone, or encrypted around something unsigned, is refused', async () => {
    keys = [jwk(es.publicKey, { kid: 'es' })];
    const decide = resourceServer(jwtAccessTokens({ decryptionKey }));
    expect(await decide(signed('ES256', 'es', es.privateKey))).toBe('jwt_malformed');
    const unsigned = await new jose.EncryptJWT({
      iss: issuer,
      aud: audience,
      sub: 'x',
      client_id: 'a',
      jti: '1',
    })
      .setIssuedAt()
      .setExpirationTime('5m')
      .setProtectedHeader({ alg: 'RSA-OAEP', enc: 'A256GCM', typ: 'at+jwt' })
      .encrypt(rsa.publicKey);
    expect(await decide(unsigned)).toBe('jwt_malformed');
  });
});
