import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createResourceServer, jwtAccessTokens } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { CompactEncrypt, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { decryptJwt } from '../../../packages/core/src/authorization-server/nested-jwt.js';
import { generateP256 } from '../../support/key-pairs.js';
import { outcomeOf, requestWith } from '../../support/pretend-server.js';

let keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
beforeAll(() => {
  keys = generateKeyPairSync('rsa', { modulusLength: 2_048 });
});

describe.each(['RSA-OAEP', 'RSA-OAEP-256'])('a token that is encrypted by %s', (alg) => {
  /** One whose encrypted key begins with a zero byte, as one of 256 does. */
  async function withZero(): Promise<{ jwe: string; spelled: (key: Buffer) => string; key: Buffer }> {
    for (;;) {
      const jwe = await new CompactEncrypt(Buffer.from('a.b.c'))
        .setProtectedHeader({ alg, enc: 'A256GCM' })
        .encrypt(keys.publicKey);
      const [header, encryptedKey = '', ...rest] = jwe.split('.');
      const key = Buffer.from(encryptedKey, 'base64url');
      if (key[0] === 0) {
        return { jwe, key, spelled: (other) => [header, other.toString('base64url'), ...rest].join('.') };
      }
    }
  }

  it('has one spelling: the encrypted key is as long as the modulus (RFC 8017 §7.1.2)', async () => {
    const { jwe, key, spelled } = await withZero();
    expect(await decryptJwt(jwe, [keys.privateKey])).toBe('a.b.c');
    for (const other of [key.subarray(1), Buffer.concat([Buffer.alloc(1), key])]) {
      await expect(decryptJwt(spelled(other), [keys.privateKey])).rejects.toThrow();
    }
  });
});

describe('a signed JWT inside an encrypted one', () => {
  const issuer = 'https://as.example.com';
  const audience = 'https://api.example.com';
  const signer = generateP256();

  /** The outcome of a request with the JWT, changed as text and encrypted to this API. */
  async function outcomeFor(change: (jwt: string) => string | Buffer): Promise<string> {
    const kit = await createTestKit();
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: issuer,
      aud: audience,
      sub: 'alice',
      client_id: 'alice',
      jti: 'one',
      iat: now,
      exp: now + 600,
    };
    const jwt = await new SignJWT({ ...claims, cnf: { 'x5t#S256': kit.certificate.thumbprint } })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'es' })
      .sign(signer.privateKey);
    const token = await new CompactEncrypt(Buffer.from(change(jwt)))
      .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'JWT' })
      .encrypt(keys.publicKey);
    const server = createResourceServer({
      issuer,
      audience,
      tokens: jwtAccessTokens({ decryptionKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) }),
      certificate: () => kit.certificate,
      authorizationServerMetadata: { jwks_uri: `${issuer}/jwks` },
      http: {
        fetch: async () =>
          Response.json({ keys: [{ ...signer.publicKey.export({ format: 'jwk' }), use: 'sig', kid: 'es' }] }),
      },
    });
    const outcome = await outcomeOf(() => server.authorize(requestWith(token)));
    await server.close();
    return outcome;
  }

  it.each<[string, (jwt: string) => string | Buffer, string]>([
    ['as it was signed', (jwt) => jwt, 'admitted'],
    ['with a line feed at its end', (jwt) => `${jwt}\n`, 'jwt_malformed'],
    ['with a carriage return and a line feed at its end', (jwt) => `${jwt}\r\n`, 'jwt_malformed'],
    ['with a blank at its end', (jwt) => `${jwt} `, 'jwt_malformed'],
    ['with a blank before it', (jwt) => ` ${jwt}`, 'jwt_malformed'],
    ['with a byte order mark before it', (jwt) => `\uFEFF${jwt}`, 'jwt_malformed'],
    ['with a line feed in its payload', (jwt) => jwt.replace('.', '.\n'), 'jwt_malformed'],
    ['with padding', (jwt) => `${jwt}==`, 'jwt_malformed'],
    ['with a null character at its end', (jwt) => `${jwt}\0`, 'jwt_malformed'],
    [
      'with a byte at its end that is no UTF-8',
      (jwt) => Buffer.concat([Buffer.from(jwt), Buffer.of(0xff)]),
      'jwt_malformed',
    ],
  ])('%s', async (_title, change, outcome) => {
    expect(await outcomeFor(change)).toBe(outcome);
  });
});
