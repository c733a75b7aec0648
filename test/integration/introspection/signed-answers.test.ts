import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type IntrospectionOptions, introspection, type ProblemEvent } from '@mtls-bound/core';
import { CompactEncrypt, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience, startAuthorizationServer, testClients } from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims, goodMetadata } from '../../support/faulty-server.js';
import { generateP256 } from '../../support/key-pairs.js';
import { mismatch } from '../../support/mismatch.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { type ExpectedRefusal, expectRefusal } from '../../support/refusals.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();
const key = generateP256();
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const encryption = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ed25519 = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
const other = generateP256();
const jwk = ({ publicKey }: { publicKey: KeyObject }, kid: string) => ({
  ...publicKey.export({ format: 'jwk' }),
  kid,
});

const type = 'application/token-introspection+jwt';
let reply: () => Promise<{ body: string; contentType?: string }>;

server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });
server.introspection = async (req, res, body) => {
  if (req.url === '/jwks') {
    answer(200, { keys: [jwk(key, 'es'), jwk(rsa, 'rsa')] })(req, res, body);
    return;
  }
  const { body: text, contentType = type } = await reply();
  answer(200, text, { 'content-type': contentType })(req, res, body);
};

const now = () => Math.floor(Date.now() / 1000);
const inner = (changes = {}) => goodClaims(server.issuer, pki.alice.thumbprint, changes);
type Changes = { [claim: string]: unknown };
const outer = (changes: Changes = {}): JWTPayload => ({
  iss: server.issuer,
  aud: 'api',
  iat: now(),
  token_introspection: inner(),
  ...changes,
});
const signed = (changes: Changes = {}, header: object = {}, by: KeyObject | Uint8Array = key.privateKey) =>
  new SignJWT(outer(changes))
    .setProtectedHeader({ alg: 'ES256', kid: 'es', typ: 'token-introspection+jwt', ...header })
    .sign(by as never);

const nonsense: ExpectedRefusal = { status: 503, error: 'temporarily_unavailable' };
const invalidToken: ExpectedRefusal = { status: 401, error: 'invalid_token' };

describe.each(frameworks)('%s', (framework) => {
  const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

  async function respond(
    issuer: string,
    more: { clientId?: string; clientSecret?: string; options?: IntrospectionOptions },
    token: string,
  ) {
    const api = await startApi(framework, pki, {
      issuer,
      clientId: more.clientId ?? 'api',
      clientSecret: more.clientSecret ?? 'secret',
      audience,
      tokens: introspection(more.options ?? { signed: true }),
      cache: { maxAge: 0, rejectionMaxAge: 0 },
      http: { ca: pki.ca.cert },
    });
    try {
      return await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
    } finally {
      await api.close();
    }
  }

  it('R66: signed answers of a real authorization server', async () => {
    const real = await startAuthorizationServer(pki);
    const { alice } = testClients(pki);
    try {
      const token = await real.token(alice);
      const clientSecret = real.secrets.api;
      const granted = await respond(real.issuer, { clientSecret }, token);
      expect([granted.status, granted.body.clientId]).toEqual([200, 'alice']);
      await real.revoke(alice, token);
      const revoked = await respond(real.issuer, { clientSecret }, token);
      await expectRefusal(revoked, invalidToken);
    } finally {
      await real.stop();
    }
  });

  const tampered = async () => {
    const [header, , signature] = (await signed()).split('.');
    const payload = Buffer.from(JSON.stringify(outer({ token_introspection: inner({ scope: 'admin' }) })));
    return `${header}.${payload.toString('base64url')}.${signature}`;
  };

  it.each<[string, () => Promise<string>, ExpectedRefusal | 'passes']>([
    ['a good answer', () => signed(), 'passes'],
    ['R70: aud is the identifier of the API', () => signed({ aud: audience }), 'passes'],
    ['R68: typ with its prefix', () => signed({}, { typ: type }), 'passes'],
    ['R68: typ JWT', () => signed({}, { typ: 'JWT' }), nonsense],
    ['R68: typ of an access token', () => signed({}, { typ: 'at+jwt' }), nonsense],
    ['R69: PS256', () => signed({}, { alg: 'PS256', kid: 'rsa' }, rsa.privateKey), 'passes'],
    [
      'R69: RS256, which is not listed',
      () => signed({}, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey),
      nonsense,
    ],
    ['R69: alg none', async () => new UnsecuredJWT(outer()).encode(), nonsense],
    [
      'R69: HS256 with the public key',
      () => signed({}, { alg: 'HS256' }, Buffer.from(key.publicKey.export({ type: 'spki', format: 'pem' }))),
      nonsense,
    ],
    ['an unknown key', () => signed({}, {}, other.privateKey), nonsense],
    ['tampered', tampered, nonsense],
    ['R70: another issuer', () => signed({ iss: 'https://other.example.com' }), nonsense],
    ['R70: for another resource server', () => signed({ aud: 'other-api' }), nonsense],
    ['R70: no aud', () => signed({ aud: undefined }), nonsense],
    ['R70: iat ahead', () => signed({ iat: now() + 120 }), nonsense],
    ['R70: no iat', () => signed({ iat: undefined }), nonsense],
    ['R71: an hour old', () => signed({ iat: now() - 3_600 }), nonsense],
    ['R70: no token_introspection', () => signed({ token_introspection: undefined, active: true }), nonsense],
    [
      'R70: active of another type',
      () => signed({ token_introspection: inner({ active: 'true' }) }),
      nonsense,
    ],
    [
      'R72: active at the top, not inside',
      () => signed({ active: true, token_introspection: { active: false } }),
      invalidToken,
    ],
    [
      'R11: cnf at the top, not inside',
      () =>
        signed({ cnf: { 'x5t#S256': pki.alice.thumbprint }, token_introspection: inner({ cnf: undefined }) }),
      invalidToken,
    ],
    ['no JWT', async () => 'nonsense', nonsense],
  ])('%s', async (_title, jwt, expected) => {
    reply = async () => ({ body: await jwt() });
    const response = await respond(server.issuer, {}, 'token');
    if (expected === 'passes') {
      expect(response.status).toBe(200);
    } else {
      await expectRefusal(response, expected);
    }
  });

  it('R66 R67: asked for by Accept; a plain answer is a downgrade', async () => {
    reply = async () => ({ body: JSON.stringify(inner()), contentType: 'application/json' });
    await expectRefusal(await respond(server.issuer, {}, 'token'), nonsense);
    expect(server.requests.at(-1)?.headers.accept).toBe(type);
  });

  it('a signed answer where none was asked for is nonsense too', async () => {
    reply = async () => ({ body: await signed() });
    await expectRefusal(await respond(server.issuer, { options: { signed: false } }, 'token'), nonsense);
  });

  it('R73: encrypted answers of a real authorization server', async () => {
    const real = await startAuthorizationServer(pki);
    try {
      const token = await real.token(testClients(pki).alice);
      const credentials = { clientId: 'api-encrypted', clientSecret: real.secrets.api };
      const options = { signed: { decryptionKey: real.decryptionKey } };
      const granted = await respond(real.issuer, { ...credentials, options }, token);
      expect([granted.status, granted.body.clientId]).toEqual([200, 'alice']);
      await expectRefusal(await respond(real.issuer, credentials, token), nonsense);
    } finally {
      await real.stop();
    }
  });

  const encrypted = async (
    inside: string,
    header: { alg?: string; enc?: string; zip?: string } = {},
    to: KeyObject | Uint8Array = encryption.publicKey,
  ) =>
    new CompactEncrypt(Buffer.from(inside))
      .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', ...header })
      .encrypt(to as never);
  const rotated = generateKeyPairSync('rsa', { modulusLength: 2048 });

  it.each<[string, () => Promise<string>, ExpectedRefusal | 'passes']>([
    ['a signed answer inside', async () => encrypted(await signed()), 'passes'],
    ['encrypted to the key before', async () => encrypted(await signed(), {}, rotated.publicKey), 'passes'],
    ['not encrypted', () => signed(), nonsense],
    ['unsigned inside', () => encrypted(new UnsecuredJWT(outer()).encode()), nonsense],
    ['claims inside, not a JWT', () => encrypted(JSON.stringify(outer())), nonsense],
    ['signed by an unknown key', async () => encrypted(await signed({}, {}, other.privateKey)), nonsense],
    ['encrypted twice', async () => encrypted(await encrypted(await signed())), nonsense],
    [
      'encrypted to an unknown key',
      async () =>
        encrypted(await signed(), {}, generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey),
      nonsense,
    ],
    [
      'by a shared key',
      async () => encrypted(await signed(), { alg: 'dir', enc: 'A256GCM' }, Buffer.alloc(32, 1)),
      nonsense,
    ],
    [
      'RSA1_5',
      async () => {
        const [, ...rest] = (await encrypted(await signed())).split('.');
        const header = Buffer.from(JSON.stringify({ alg: 'RSA1_5', enc: 'A256GCM' }));
        return [header.toString('base64url'), ...rest].join('.');
      },
      nonsense,
    ],
  ])('R73: an encrypted answer: %s', async (_title, jwt, expected) => {
    reply = async () => ({ body: await jwt() });
    const decryptionKey = [encryption.privateKey, rotated.privateKey].map((one) =>
      one.export({ format: 'jwk' }),
    );
    const response = await respond(server.issuer, { options: { signed: { decryptionKey } } }, 'token');
    if (expected === 'passes') {
      expect(response.status).toBe(200);
    } else {
      await expectRefusal(response, expected);
    }
  });

  it('an encrypted answer for which no key was given: the event names the option', async () => {
    reply = async () => ({ body: await encrypted(await signed()) });
    await expectRefusal(await respond(server.issuer, {}, 'token'), nonsense);
    expect(problems.at(-1)?.message).toContain('introspection({ signed: { decryptionKey } }) takes the key');
  });

  it('R69: RS256 when it is named', async () => {
    reply = async () => ({ body: await signed({}, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey) });
    const options: IntrospectionOptions = { signed: { algorithms: ['RS256'] } };
    expect((await respond(server.issuer, { options }, 'token')).status).toBe(200);
  });
});

it.each([
  ['yes', 'introspection().signed: '],
  [{ algorithms: ['none'] }, 'introspection().signed.algorithms: '],
  [{ algorithm: 'ES256' }, mismatch('introspection().signed.algorithm', 'an unknown one')],
  [{ decryptionKey: [] }, 'introspection().signed.decryptionKey: '],
  [{ decryptionKey: ed25519 }, mismatch('introspection().signed.decryptionKey', 'a value of type object')],
])('introspection({ signed: %j }) is refused', (signedOption, message) => {
  expect(() => introspection({ signed: signedOption as never })).toThrow(message);
});
