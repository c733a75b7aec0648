import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as core from '@mtls-bound/core';
import { type ClientAuthentication, ConfigurationError, type ProblemEvent } from '@mtls-bound/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { expectRefusal } from '../../support/refusals.js';

let pki: Pki;
let server: TestAuthorizationServer;
let folder: string;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

beforeAll(async () => {
  pki = await createPki();
  server = await startAuthorizationServer(pki);
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
  writeFileSync(join(folder, 'api.pem'), pki.proxy.cert);
  writeFileSync(join(folder, 'api.key'), pki.proxy.key);
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await server?.stop();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

const otherKey = () =>
  generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;

const own = ({ cert, key }: Identity) => ({ cert, key });

/** Each method with its client at the authorization server, right and wrong. */
const methods: [string, string, () => ClientAuthentication, () => ClientAuthentication][] = [
  [
    'client_secret_basic',
    'api',
    () => core.clientSecretBasic(server.secrets.api),
    () => core.clientSecretBasic('wrong'),
  ],
  [
    'client_secret_post',
    'api-post',
    () => core.clientSecretPost(server.secrets['api-post']),
    () => core.clientSecretPost('wrong'),
  ],
  [
    'client_secret_jwt',
    'api-secret-jwt',
    () => core.clientSecretJwt(server.secrets['api-secret-jwt']),
    () => core.clientSecretJwt('w'.repeat(36)),
  ],
  [
    'private_key_jwt',
    'api-key-jwt',
    () => core.privateKeyJwt({ key: server.apiKey.pem, kid: server.apiKey.kid }),
    () => core.privateKeyJwt({ key: otherKey(), kid: server.apiKey.kid }),
  ],
  [
    'tls_client_auth',
    'api-tls',
    () => core.tlsClientAuth(own(pki.proxy)),
    () => core.tlsClientAuth(own(pki.bob)),
  ],
  [
    'tls_client_auth',
    'api-tls',
    () => core.tlsClientAuth({ certFile: join(folder, 'api.pem'), keyFile: join(folder, 'api.key') }),
    () => core.tlsClientAuth(() => pki.selfSignedEc),
  ],
  [
    'self_signed_tls_client_auth',
    'api-self-signed',
    () => core.selfSignedTlsClientAuth(own(pki.selfSignedEc)),
    () => core.selfSignedTlsClientAuth(own(pki.selfSignedRsa)),
  ],
];

const encrypted = (key: string) =>
  String(
    createPrivateKey(key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }),
  );

describe.each(frameworks)('%s', (framework) => {
  async function respond(clientId: string, clientAuthentication: ClientAuthentication, times = 1) {
    const api = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId,
      clientAuthentication,
      audience,
      http: { ca: pki.ca.cert },
    });
    const token = await server.token(testClients(pki).alice);
    const asked = server.introspections();
    let response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
    for (let i = 1; i < times; i += 1) {
      response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
    }
    await api.close();
    return { response, asked: server.introspections() - asked };
  }

  it.each(methods)('%s (%s) is accepted by a real authorization server', async (method, clientId, right) => {
    const authentication = right();
    expect(authentication.method).toBe(method);
    const { response, asked } = await respond(clientId, authentication);
    expect([response.status, asked]).toEqual([200, 1]);
    expect(problems).toEqual([]);
  });

  it.each(methods)(
    '%s (%s) with wrong credentials is answered with 503, tells what to fix, and asks once for each request',
    async (method, clientId, _right, wrong) => {
      const { response, asked } = await respond(clientId, wrong(), 3);
      await expectRefusal(response, { status: 503, error: 'server_error', retryAfter: null });
      expect(asked).toBe(3);
      expect(problems).toHaveLength(3);
      expect(problems[0]?.message).toMatch(
        new RegExp(`answered 401 to this API's ${method}; check clientId`),
      );
    },
  );
});

describe('a key is refused at start-up', () => {
  const rsa = () => pki.alice.key;
  it.each<[string, () => unknown, string | RegExp]>([
    ['none', () => core.privateKeyJwt({} as never), mismatch('privateKeyJwt().key', 'nothing')],
    [
      'no PEM',
      () => core.privateKeyJwt({ key: 'secret-31415' }),
      mismatch('privateKeyJwt().key', 'a value of type string'),
    ],
    [
      'a public key',
      () => core.privateKeyJwt({ key: pki.alice.cert }),
      mismatch('privateKeyJwt().key', 'a value of type string'),
    ],
    [
      'of another kind than alg',
      () => core.privateKeyJwt({ key: rsa(), alg: 'ES256' }),
      mismatch('privateKeyJwt().alg', 'a key of rsa for ES256'),
    ],
    [
      'of a curve without alg',
      () =>
        core.privateKeyJwt({
          key: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey.export({
            type: 'pkcs8',
            format: 'pem',
          }) as string,
        }),
      mismatch('privateKeyJwt().alg', 'a key of secp256k1'),
    ],
    [
      'an alg that is none',
      () => core.privateKeyJwt({ key: rsa(), alg: 'HS256' as never }),
      mismatch('privateKeyJwt().alg', '"HS256"'),
    ],
    [
      'an unknown option',
      () => core.privateKeyJwt({ key: rsa(), keyid: 'x' } as never),
      mismatch('privateKeyJwt().keyid', 'an unknown one'),
    ],
    [
      'a certificate without key',
      () => core.tlsClientAuth({ cert: pki.alice.cert } as never),
      mismatch('tlsClientAuth().key', 'nothing'),
    ],
    [
      'a certificate with another key',
      () => core.tlsClientAuth({ cert: pki.alice.cert, key: pki.bob.key }),
      'tlsClientAuth().key: expected the key of cert, with its whole chain, got another key',
    ],
    [
      'an encrypted key',
      () => core.tlsClientAuth({ cert: pki.alice.cert, key: encrypted(pki.alice.key) }),
      'tlsClientAuth().key: expected a key without a passphrase, got an encrypted one',
    ],
    [
      'a key whose line ends are written out, as some environments have it',
      () => core.tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key.replaceAll('\n', '\\n') }),
      'tlsClientAuth().key: expected PEM with line ends, got \\n written out as two characters',
    ],
    [
      'no PEM',
      () => core.selfSignedTlsClientAuth({ cert: 'x', key: 'y' }),
      mismatch('selfSignedTlsClientAuth().cert', 'a value of type string'),
    ],
    [
      'files that are not there',
      () => core.tlsClientAuth({ certFile: '/no/such', keyFile: '/no/such' }),
      /^tlsClientAuth\(\): expected files that can be read, got "\/.*": no such file \(ENOENT\)$/,
    ],
    [
      'one file',
      () => core.tlsClientAuth({ certFile: join(folder, 'api.pem') } as never),
      mismatch('tlsClientAuth().keyFile', 'nothing'),
    ],
    [
      'files that do not belong together',
      () => core.tlsClientAuth({ certFile: join(folder, 'api.pem'), keyFile: join(folder, 'api.pem') }),
      'tlsClientAuth(): ',
    ],
    [
      'no function',
      () => core.bearerTokenAuthentication('token' as never),
      mismatch('bearerTokenAuthentication(token)', 'a value of type string'),
    ],
  ])('%s', (_title, make, message) => {
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(message);
    expect(make).not.toThrow('31415');
  });
});
