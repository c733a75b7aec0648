import {
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  webcrypto,
} from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import {
  bearerTokenAuthentication,
  type ClientAuthentication,
  clientSecretJwt,
  createResourceServer,
  type ProblemEvent,
  privateKeyJwt,
  tlsClientAuth,
} from '@mtls-bound/core';
import { jwtVerify } from 'jose';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { mutualTls } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { answer, goodClaims, goodMetadata } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { mismatch } from '../../support/mismatch.js';
import type { Identity } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();

beforeEach(() => {
  server.metadata = answer(200, goodMetadata(server.issuer));
  server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
});

const resourceServer = (clientAuthentication: ClientAuthentication, issuer = server.issuer) =>
  createResourceServer({
    issuer,
    clientId: 'api',
    clientAuthentication,
    audience,
    http: { ca: pki.ca.cert, timeout: 30 },
  });

/** A request over mutual TLS by Alice, as Node presents it. */
const aliceWith = (token: string) => {
  const socket = {
    encrypted: true,
    getProtocol: () => 'TLSv1.3',
    getPeerX509Certificate: () => ({ raw: pki.alice.der }),
  };
  return { url: '/', headers: {}, rawHeaders: ['Authorization', `Bearer ${token}`], socket } as never;
};

describe('privateKeyJwt', () => {
  const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey;
  const ed25519 = generateKeyPairSync('ed25519').privateKey;

  it.each<[string, string, KeyObject, Parameters<typeof privateKeyJwt>[0]['alg']]>([
    ['RSA', 'PS256', rsa, undefined],
    ['RSA, as wished', 'RS256', rsa, 'RS256'],
    ['P-256', 'ES256', ec('P-256'), undefined],
    ['P-384', 'ES384', ec('P-384'), undefined],
    ['P-521', 'ES512', ec('P-521'), undefined],
    ['Ed25519', 'EdDSA', ed25519, undefined],
  ])('signs with %s by %s, from PEM and JWK', async (_title, alg, key, wished) => {
    for (const given of [pem(key), Buffer.from(pem(key)), key.export({ format: 'jwk' }) as JsonWebKey]) {
      const authentication = privateKeyJwt({ key: given, kid: 'k1', ...(wished && { alg: wished }) });
      await resourceServer(authentication).authorize(aliceWith('token'));
      const form = new URLSearchParams(server.requests.at(-1)?.body);
      expect(form.get('client_assertion_type')).toBe(
        'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      );
      const { protectedHeader, payload } = await jwtVerify(
        String(form.get('client_assertion')),
        createPublicKey(key as never),
        {
          issuer: 'api',
          subject: 'api',
          audience: server.issuer,
        },
      );
      expect(protectedHeader).toEqual({ alg, kid: 'k1' });
      expect(Number(payload.exp) - Number(payload.iat)).toBeLessThanOrEqual(300);
      expect(payload.jti).toMatch(/.{16}/);
    }
  });

  it('signs with a CryptoKey that can not leave the process', async () => {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    const keys = (await webcrypto.subtle.generateKey(algorithm, false, [
      'sign',
      'verify',
    ])) as webcrypto.CryptoKeyPair;
    await resourceServer(privateKeyJwt({ key: keys.privateKey })).authorize(aliceWith('token'));
    const assertion = new URLSearchParams(server.requests.at(-1)?.body).get('client_assertion');
    expect((await jwtVerify(String(assertion), keys.publicKey as never)).protectedHeader).toEqual({
      alg: 'ES256',
    });
    expect(() => privateKeyJwt({ key: keys.publicKey })).toThrow(
      mismatch('privateKeyJwt().key', 'a value of type object'),
    );
    expect(() => privateKeyJwt({ key: keys.privateKey, alg: 'ES256' })).toThrow(
      'privateKeyJwt().alg: expected nothing next to a CryptoKey',
    );
  });
});

it('clientSecretJwt signs with the secret by HS256, and does not send it', async () => {
  const secret = 'a-secret-of-more-than-thirty-two-bytes';
  await resourceServer(clientSecretJwt(secret)).authorize(aliceWith('token'));
  const { body } = server.requests.at(-1) ?? { body: '' };
  expect(body).not.toContain(secret);
  const assertion = String(new URLSearchParams(body).get('client_assertion'));
  expect((await jwtVerify(assertion, Buffer.from(secret))).protectedHeader.alg).toBe('HS256');
});

describe('bearerToken', () => {
  it('asks for a token each time', async () => {
    let count = 0;
    const asked = resourceServer(
      bearerTokenAuthentication(async () => {
        count += 1;
        return `ours-${count}`;
      }),
    );
    for (const token of ['a', 'b']) {
      await asked.authorize(aliceWith(token));
      expect(server.requests.at(-1)?.headers.authorization).toBe(`Bearer ours-${count}`);
    }
    expect(count).toBe(2);
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no token today');
      },
    ],
    ['gives none', () => undefined],
    ['gives what is none', () => 'a b\r\nX: y'],
  ])('when the function %s, the client gets 503 and nothing is sent', async (_title, token) => {
    const before = server.requests.length;
    const refused = resourceServer(bearerTokenAuthentication(token as never)).authorize(aliceWith('token'));
    await expect(refused).rejects.toMatchObject({ status: 503, code: 'internal_error' });
    expect(server.requests.length).toBe(before);
  });
});

describe('mtls_endpoint_aliases', () => {
  const pair = () => ({ cert: pki.proxy.cert, key: pki.proxy.key });
  const introspectionAlias = () => ({ introspection_endpoint: `${server.issuer}/over-mtls` });

  it.each<[string, () => ClientAuthentication, () => object | undefined, string]>([
    [
      'R29: used by who authenticates by mutual TLS',
      () => tlsClientAuth(pair()),
      introspectionAlias,
      '/over-mtls',
    ],
    [
      'R29: without the introspection endpoint: the plain one',
      () => tlsClientAuth(pair()),
      () => ({ token_endpoint: 'x' }),
      '/introspect',
    ],
    ['R29: absent: the plain one', () => tlsClientAuth(pair()), () => undefined, '/introspect'],
    [
      'R29: not used by who authenticates otherwise',
      () => clientSecretJwt('s'.repeat(32)),
      introspectionAlias,
      '/introspect',
    ],
  ])('%s', async (_title, authentication, aliases, expected) => {
    server.metadata = answer(200, { ...goodMetadata(server.issuer), mtls_endpoint_aliases: aliases() });
    await resourceServer(authentication()).authorize(aliceWith('token'));
    expect(server.requests.at(-1)?.url).toBe(expected);
  });

  it('R39: an alias without TLS is refused', async () => {
    const mtls_endpoint_aliases = { introspection_endpoint: 'http://127.0.0.1/over-mtls' };
    server.metadata = answer(200, { ...goodMetadata(server.issuer), mtls_endpoint_aliases });
    const refused = resourceServer(tlsClientAuth(pair())).authorize(aliceWith('token'));
    await expect(refused).rejects.toMatchObject({ code: 'authorization_server_unsuitable' });
  });
});

describe('our own certificate is renewed on disk', () => {
  it('500 introspections in flight across the change: none fails, new connections carry the new certificate', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
    const [certFile, keyFile] = [join(folder, 'api.pem'), join(folder, 'api.key')];
    const put = (file: string, text: string) => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    const write = ({ cert, key }: Identity) => {
      put(certFile, cert);
      put(keyFile, key);
    };
    write(pki.aliceEc);
    const seen: string[] = [];
    const slow = createServer(mutualTls(pki), async (req, res) => {
      if (!req.url?.startsWith('/.well-known/')) {
        const der = (req.socket as TLSSocket).getPeerX509Certificate()?.raw;
        seen.push(Object.entries(pki).find(([, { der: bytes }]) => der?.equals(bytes))?.[0] ?? 'none');
        await sleep(400);
      }
      const claims = goodClaims(issuer, pki.alice.thumbprint);
      const body = req.url?.startsWith('/.well-known/') ? goodMetadata(issuer) : claims;
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    const issuer = `https://127.0.0.1:${await listen(slow)}`;
    try {
      const resources = resourceServer(tlsClientAuth({ certFile, keyFile }), issuer);
      await resources.authorize(aliceWith('first'));
      const some = (name: string) =>
        Array.from({ length: 125 }, (_, i) => resources.authorize(aliceWith(`${name}-${i}`)));
      const flights = [...some('before')];
      // Half of the renewal: the key does not fit the certificate yet, the old pair serves on.
      put(certFile, pki.bob.cert);
      flights.push(...some('between'));
      await sleep(50);
      write(pki.bob);
      flights.push(...some('after'));
      await sleep(50);
      flights.push(...some('later'));
      const outcomes = await Promise.allSettled(flights);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(500);
      const marked = seen.length;
      await resources.authorize(aliceWith('last'));
      expect(seen.slice(marked)).toEqual(['bob']);
      expect(new Set(seen)).toEqual(new Set(['aliceEc', 'bob']));
    } finally {
      await close(slow);
      rmSync(folder, { recursive: true });
    }
  });

  it('a function may give another certificate at any time; one that gives none is our own trouble', async () => {
    let given: unknown = { cert: pki.proxy.cert, key: pki.proxy.key };
    const resources = resourceServer(tlsClientAuth(() => given as never));
    await resources.authorize(aliceWith('a'));
    given = { cert: pki.bob.cert, key: pki.bob.key };
    await resources.authorize(aliceWith('b'));
    given = { cert: pki.bob.cert, key: pki.alice.key };
    await expect(resources.authorize(aliceWith('c'))).rejects.toMatchObject({
      status: 503,
      code: 'internal_error',
    });
    // What was asked before is known still.
    await resources.authorize(aliceWith('b'));
  });
});

describe('R126: the methods that the server says it accepts', () => {
  const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

  it.each([
    [['private_key_jwt', 'tls_client_auth'], true],
    [['client_secret_jwt'], false],
    [undefined, false],
  ])('%j: a problem is told: %s', async (methods, isTold) => {
    server.metadata = answer(200, {
      ...goodMetadata(server.issuer),
      introspection_endpoint_auth_methods_supported: methods,
    });
    await resourceServer(clientSecretJwt('a secret of at least 32 characters')).authorize(aliceWith('t'));
    const told = problems.find(({ code }) => code === 'client_authentication_unsupported');
    expect(told !== undefined).toBe(isTold);
    if (isTold) {
      expect(told?.message).toContain(
        'accepts "private_key_jwt", "tls_client_auth" at its introspection endpoint',
      );
    }
  });
});
