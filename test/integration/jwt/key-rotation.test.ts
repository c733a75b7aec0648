import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { jwtAccessTokens } from '@mtls-bound/core';
import { SignJWT } from 'jose';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodMetadata } from '../../support/faulty-server.js';
import { generateP256 } from '../../support/key-pairs.js';
import { useFaultyServer } from '../../support/suites.js';

const first = generateP256();
const second = generateP256();
const other = generateP256();
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = ({ publicKey }: { publicKey: KeyObject }, more: object = {}) => ({
  ...publicKey.export({ format: 'jwk' }),
  ...more,
});

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();
let number = 0;

server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });

const publish = (...keys: unknown[]) => {
  server.introspection = answer(200, { keys });
};

function signed(key: { privateKey: KeyObject }, header: object = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  number += 1;
  return new SignJWT({
    iss: server.issuer,
    aud: audience,
    sub: 'user-1',
    client_id: 'alice',
    jti: `${number}`,
    iat: now,
    exp: now + 300,
    cnf: { 'x5t#S256': pki.alice.thumbprint },
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', ...header })
    .sign(key.privateKey);
}

describe.each(frameworks)('%s: keys of the authorization server', (framework) => {
  let api: TestApi;
  const status = async (token: string) =>
    (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;

  beforeEach(async () => {
    api = await startApi(framework, pki, {
      issuer: server.issuer,
      audience,
      tokens: jwtAccessTokens(),
      floodGuard: false,
      http: { ca: pki.ca.cert },
    });
    return () => api.close();
  });

  it.each([
    ['another kid', { kid: 'one' }, { kid: 'two' }],
    ['no kid', {}, {}],
    ['the same kid', { kid: 'one' }, { kid: 'one' }],
  ])('a new key is accepted within one request: %s', async (_title, before, after) => {
    publish(jwk(first, before));
    expect(await status(await signed(first, before))).toBe(200);
    publish(jwk(second, after));
    expect(await status(await signed(second, after))).toBe(200);
  });

  it('invented key ids do not delay a new key', async () => {
    publish(jwk(first, { kid: 'one' }));
    const invented = await Promise.all(Array.from({ length: 7 }, (_, i) => signed(other, { kid: `x${i}` })));
    for (const token of invented) {
      expect(await status(token)).toBe(401);
    }
    publish(jwk(second, { kid: 'two' }));
    expect(await status(await signed(second, { kid: 'two' }))).toBe(200);
  });

  it('a new key gets 503 while the keys cannot be fetched, and passes right afterwards', async () => {
    publish(jwk(first, { kid: 'one' }));
    expect(await status(await signed(first, { kid: 'one' }))).toBe(200);
    server.introspection = answer(429, '', { 'retry-after': '7' });
    const token = await signed(second, { kid: 'two' });
    const refused = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '7']);
    publish(jwk(second, { kid: 'two' }));
    expect(await status(await signed(second, { kid: 'two' }))).toBe(200);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'x'],
    ['a list', []],
    ['an EC point off the curve', { ...jwk(first), y: jwk(first).x, kid: 'broken' }],
    ['an RSA key with e = 1', { ...jwk(rsa), e: 'AQ', kid: 'broken' }],
  ])('one broken member leaves the other keys usable: %s', async (_title, broken) => {
    publish(broken, jwk(first, { kid: 'one' }));
    expect(await status(await signed(first, { kid: 'one' }))).toBe(200);
    expect(await status(await signed(first, { kid: 'broken' }))).toBe(401);
  });

  it('an algorithm that is not accepted stays so where two keys share a kid', async () => {
    publish(jwk(rsa, { kid: 'twin' }), jwk(rsa, { kid: 'twin' }));
    expect(await status(await signed(rsa, { alg: 'PS256', kid: 'twin' }))).toBe(200);
    expect(await status(await signed(rsa, { alg: 'RS256', kid: 'twin' }))).toBe(401);
  });

  it('a key in the header of a token with an unknown kid is not used', async () => {
    publish(jwk(first, { kid: 'one' }));
    expect(await status(await signed(other, { kid: 'x', jwk: jwk(other) }))).toBe(401);
  });

  it('17 keys without kid are the server’s fault', async () => {
    publish(...Array.from({ length: 17 }, () => jwk(other)));
    expect(await status(await signed(first))).toBe(503);
  });
});
