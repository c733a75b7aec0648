// Why a JWT is refused: what the operator finds in the event, the log line and the doctor's finding, cause by cause.
import { generateKeyPairSync } from 'node:crypto';
import { createResourceServer, jwtAccessTokens, type ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import * as jose from 'jose';
import { describe, expect, it, vi } from 'vitest';
import { remedies } from '../../../packages/core/src/doctor/remedies.js';
import { generateP256 } from '../../support/key-pairs.js';
import { requestWith } from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
const keys = generateP256();
const stranger = generateP256();
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const now = () => Math.floor(Date.now() / 1000);

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

interface Changes {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly key?: jose.CryptoKey | Parameters<jose.SignJWT['sign']>[0];
}

function jwt({ claims = {}, header = {}, key = keys.privateKey }: Changes = {}): Promise<string> {
  const payload = {
    iss: issuer,
    aud: audience,
    sub: 'user-1',
    client_id: 'alice',
    jti: 'one',
    iat: now(),
    exp: now() + 600,
    cnf: { 'x5t#S256': kit.certificate.thumbprint },
    ...claims,
  };
  return new jose.SignJWT(payload)
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'es', ...header })
    .sign(key);
}

async function messageOf(token: Promise<string>, options: ResourceServerOptions = {}): Promise<string> {
  const server = createResourceServer({
    issuer,
    audience,
    tokens: jwtAccessTokens(),
    certificate: () => kit.certificate,
    authorizationServerMetadata: { jwks_uri: `${issuer}/jwks` },
    http: {
      fetch: async () =>
        Response.json({ keys: [{ ...keys.publicKey.export({ format: 'jwk' }), use: 'sig', kid: 'es' }] }),
    },
    ...options,
  });
  try {
    await server.authorize(requestWith(await token));
    return 'admitted';
  } catch (thrown) {
    const refusal = thrown as { status: number; error: string; message: string };
    expect([refusal.status, refusal.error]).toEqual([401, 'invalid_token']);
    return refusal.message;
  } finally {
    await server.close();
  }
}

const expectedAlg = 'expected alg PS256 or ES256 or EdDSA or Ed25519';

const causes: readonly [string, () => Promise<string>, string | RegExp][] = [
  ['an opaque token', async () => 'abc', 'jwt_malformed: it is not a JWT'],
  [
    'an encrypted token, without decryptionKey',
    async () =>
      new jose.CompactEncrypt(Buffer.from('x'))
        .setProtectedHeader({ alg: 'RSA-OAEP', enc: 'A256GCM' })
        .encrypt(rsa.publicKey),
    'jwt_malformed: it is encrypted; decryptionKey is not set',
  ],
  [
    'a part in another spelling',
    async () => `${await jwt()}=`,
    'jwt_malformed: a part of it is not written as base64url demands',
  ],
  [
    'RS256',
    () => jwt({ header: { alg: 'RS256' }, key: rsa.privateKey }),
    `jwt_algorithm_not_accepted: ${expectedAlg}, got "RS256"`,
  ],
  [
    'alg none',
    async () => {
      const [, payload] = (await jwt()).split('.');
      return `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${payload}.`;
    },
    `jwt_algorithm_not_accepted: ${expectedAlg}, got "none"`,
  ],
  ['typ JWT', () => jwt({ header: { typ: 'JWT' } }), 'jwt_type_not_accepted: expected typ at+jwt, got "JWT"'],
  [
    'no typ',
    () => jwt({ header: { typ: undefined } }),
    'jwt_type_not_accepted: expected typ at+jwt, got none',
  ],
  [
    'a key that the server does not have',
    () => jwt({ header: { kid: 'gone' } }),
    'jwt_key_unknown: jwks_uri has no key with kid "gone" for ES256',
  ],
  [
    'another key under the same kid',
    () => jwt({ key: stranger.privateKey }),
    'jwt_signature_invalid: the key of jwks_uri with kid "es" for ES256 did not make its signature',
  ],
  [
    'a kid that is a number',
    () => jwt({ header: { kid: 7 as never } }),
    'jwt_malformed: its kid is not a string',
  ],
  ['exp over', () => jwt({ claims: { exp: now() - 100 } }), /^token_expired: exp was 10\d s ago$/],
  ['nbf ahead', () => jwt({ claims: { nbf: now() + 100 } }), /^token_not_yet_valid: nbf is \d+ s ahead$/],
  [
    'iat ahead',
    () => jwt({ claims: { iat: now() + 100 } }),
    /^token_not_yet_valid: iat is \d+ s ahead; clockTolerance is 30 s$/,
  ],
  [
    'another issuer',
    () => jwt({ claims: { iss: 'https://other.example.com' } }),
    `token_wrong_issuer: expected iss ${issuer}, got "https://other.example.com"`,
  ],
  [
    'another audience',
    () => jwt({ claims: { aud: ['account', 'x'] } }),
    `token_wrong_audience: expected aud ${audience}, got "account", "x"`,
  ],
  [
    'no audience',
    () => jwt({ claims: { aud: undefined } }),
    `token_wrong_audience: expected aud ${audience}, got none`,
  ],
  ['no client_id', () => jwt({ claims: { client_id: undefined } }), 'token_claims_malformed: no client_id'],
  ['jti null', () => jwt({ claims: { jti: null as never } }), 'token_claims_malformed: no jti'],
  ['no exp', () => jwt({ claims: { exp: undefined } }), 'token_claims_malformed: no exp'],
  [
    'scope as a list',
    () => jwt({ claims: { scope: ['a'] } }),
    "token_claims_malformed: scope is not a string, but a list; claims: { scope: 'scope' } accepts one",
  ],
  ['sid a number', () => jwt({ claims: { sid: 7 } as never }), 'token_claims_malformed: sid is not a string'],
  ['sub a number', () => jwt({ claims: { sub: 7 as never } }), 'token_claims_malformed: sub is not a string'],
];

describe('each cause has a code of its own, and words that name what was found', () => {
  it.each(causes)('%s', async (_title, token, expected) => {
    const message = await messageOf(token());
    expect(message).toEqual(typeof expected === 'string' ? expected : expect.stringMatching(expected));
    const [code = ''] = message.split(':');
    expect(remedies).toHaveProperty(code);
  });

  it('the same token without fault is admitted', async () => {
    expect(await messageOf(jwt())).toBe('admitted');
  });
});

describe('keys that are fetched again decide how a JWT with a bad signature is refused', () => {
  const keyNamed = (kid: string) => ({ ...keys.publicKey.export({ format: 'jwk' }), use: 'sig', kid });
  it.each([
    ['published', 'new', ['es', 'new'], /^jwt_signature_invalid: .* kid "new"/],
    ['removed', 'es', ['new'], /^jwt_key_unknown: .* kid "es"/],
  ])('a key that was %s meanwhile', async (_title, kid, later, expected) => {
    let published = ['es'];
    const server = createResourceServer({
      issuer,
      audience,
      tokens: jwtAccessTokens(),
      certificate: () => kit.certificate,
      authorizationServerMetadata: { jwks_uri: `${issuer}/jwks` },
      http: { fetch: async () => Response.json({ keys: published.map(keyNamed) }) },
    });
    try {
      await server.authorize(requestWith(await jwt()));
      published = later;
      const forged = await jwt({ header: { kid }, key: stranger.privateKey });
      await expect(server.authorize(requestWith(forged))).rejects.toThrow(expected);
    } finally {
      await server.close();
    }
  });
});

it.each([
  ['control characters', 'a\r\nb\u0007\u{1f600}', '"a??b???"'],
  ['a long text', 'x'.repeat(1_000), `"${'x'.repeat(100)}..."`],
])('%s of a header are not told as they are', async (_title, kid, shown) => {
  expect(await messageOf(jwt({ header: { kid } }))).toBe(
    `jwt_key_unknown: jwks_uri has no key with kid ${shown} for ES256`,
  );
});
