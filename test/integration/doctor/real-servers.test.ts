import { Agent } from 'node:https';
import KeyvRedis from '@keyv/redis';
import {
  ClientCertificate,
  introspection,
  jwtAccessTokens,
  type ResourceServerOptions,
  redisChannel,
  tlsClientAuth,
} from '@mtls-bound/core';
import { createClient } from '@redis/client';
import Keyv from 'keyv';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Finding } from '../../../packages/core/src/doctor/finding.js';
import { checkAll } from '../../../packages/core/src/doctor/main.js';
import { audience, jwtAudience, startAuthorizationServer } from '../../support/authorization-server.js';
import { findingsOfDoctor, runDoctor } from '../../support/doctor-command.js';
import { codesOf, findsAlone, problemsOf, type Seeded } from '../../support/findings.js';
import type { Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { startRedis, type TestRedis } from '../../support/redis.js';
import { useDoctor } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server, files, clients, options } = await useDoctor();

/** What `check` finds with a token of Alice's and her certificate. */
async function checked(changes: ResourceServerOptions = {}, token?: string): Promise<Finding[]> {
  const certificate = new ClientCertificate(pki.alice.der);
  return checkAll(
    { ...options(), ...changes },
    {},
    { token: token ?? (await server.token(clients().alice)), certificate },
  );
}

/** As `clientId`, which shows a certificate and has no secret. */
function checkedByTls(clientId: string, { cert, key }: Pki['alice']): Promise<Finding[]> {
  const { clientSecret: _, ...rest } = options();
  const sample = { token: undefined, certificate: undefined };
  return checkAll({ ...rest, clientId, clientAuthentication: tlsClientAuth({ cert, key }) }, {}, sample);
}

describe('beside oidc-provider', () => {
  it('finds nothing where all is well', async () => {
    expect(codesOf(await checked())).toEqual([
      'ok server_tls',
      'ok clock',
      'ok introspection',
      'ok token',
      'ok binding',
    ]);
    expect(codesOf(await checkedByTls('api-tls', pki.proxy))).toContain('ok own_certificate');
    expect(problemsOf(await checkedByTls('api-tls', pki.proxy))).toEqual([]);
  });

  it.each<Seeded>([
    [
      'an issuer that is another spelling of the right one',
      'wrong_issuer',
      /server's own spelling, to the letter: https:\/\/127\.0\.0\.1:\d+$/,
      () => checked({ issuer: server.issuer.replace('127.0.0.1', 'localhost') }),
    ],
    [
      'an issuer that is none',
      'wrong_issuer',
      /check the option issuer \(https:.*\/tenant\)/,
      () => checked({ issuer: `${server.issuer}/tenant` }),
    ],
    [
      'a wrong secret',
      'wrong_credentials',
      /check clientId, the secret/,
      () => checked({ clientSecret: 'the secret of yesterday' }),
    ],
    [
      'a certificate authority that no option names',
      'private_ca_missing',
      /http\.ca.*MTLS_BOUND_CA_FILE/,
      () => checked({ http: {} }),
    ],
    [
      'a server that binds no tokens',
      'no_cnf',
      /turn certificate-bound access tokens on/,
      async () => {
        const careless = await startAuthorizationServer(pki, { bindsTokens: false });
        try {
          const { issuer, secrets } = careless;
          const token = await careless.token(clients().alice);
          return await checked({ issuer, clientSecret: secrets.api }, token);
        } finally {
          await careless.stop();
        }
      },
    ],
    [
      'a client whose tokens are not bound',
      'unbound_client',
      /register the client with tls_client_certificate_bound_access_tokens/,
      async () => checked({}, await server.token(clients().unbound)),
    ],
    [
      'a token without cnf where metadata that were given say nothing of it',
      'no_cnf',
      /turn certificate-bound access tokens on/,
      async () => {
        const metadata = { introspection_endpoint: `${server.issuer}/token/introspection` };
        return checked({ authorizationServerMetadata: metadata }, await server.token(clients().unbound));
      },
    ],
    [
      'a token that is bound to the certificate of another',
      'certificate_mismatch',
      /present the certificate with which/,
      async () => checked({}, await server.token(clients().bob)),
    ],
    [
      'a token for another API',
      'wrong_audience',
      /set the option audience/,
      async () =>
        checked({}, await server.token({ ...clients().alice, resource: 'https://other.example.com' })),
    ],
    [
      'a certificate of our own that has expired',
      'own_certificate_expired',
      /renew it/,
      () => checkedByTls('api-expired', pki.expired),
    ],
    [
      'a server that is not there',
      'server_unreachable',
      /check the option issuer, DNS/,
      async () => {
        const token = await server.token(clients().alice);
        await server.stop();
        try {
          return await checked({}, token);
        } finally {
          await server.start();
        }
      },
    ],
  ])('finds %s', findsAlone);

  it('warns of a token without cnf where the API would take it', async () => {
    const found = await checked({ binding: 'when-bound' }, await server.token(clients().unbound));
    expect(codesOf(found)).toContain('warning unbound_client');
    expect(problemsOf(found)).toEqual([]);
  });

  const jwtOptions = (): ResourceServerOptions => ({ audience: jwtAudience, tokens: jwtAccessTokens() });
  const jwt = () => server.token({ ...clients().alice, resource: jwtAudience });

  it('finds nothing where tokens are JWTs and all is well, nor where an agent of our own leads there', async () => {
    expect(codesOf(await checked(jwtOptions(), await jwt()))).toEqual([
      'ok server_tls',
      'ok clock',
      'ok keys',
      'ok token',
      'ok binding',
    ]);
    const http = { ca: pki.ca.cert, agent: (given: object) => new Agent(given) };
    expect(codesOf(await checked({ http }))).toEqual([
      'ok clock',
      'ok introspection',
      'ok token',
      'ok binding',
    ]);
  });

  it.each<Seeded>([
    [
      'a JWT for another API',
      'wrong_audience',
      /set the option audience/,
      async () => checked({ ...jwtOptions(), audience }, await jwt()),
    ],
    [
      'a token that is no JWT where JWTs are expected',
      'jwt_malformed',
      /For opaque tokens, use introspection\(\)/,
      () => checked(jwtOptions()),
    ],
  ])('finds %s', findsAlone);

  const several = async (token: string, issuer?: string, tokens = introspection()) => {
    const other = await startAuthorizationServer(pki);
    try {
      const both = [server, other].map((one) => ({
        issuer: one.issuer,
        clientId: 'api',
        clientSecret: one.secrets.api,
      }));
      const more = { audience: [audience, jwtAudience], http: { ca: pki.ca.cert }, tokens };
      const sample = { token, certificate: new ClientCertificate(pki.alice.der), issuer };
      const found = await checkAll({ ...more, issuers: both, selectIssuer: () => undefined }, {}, sample);
      return { found, shown: other.introspections(token) };
    } finally {
      await other.stop();
    }
  };

  it('of several issuers, shows a token to the one that is named, and to no other', async () => {
    const token = await server.token(clients().alice);
    const unnamed = await several(token);
    expect(problemsOf(unnamed.found)).toEqual([]);
    expect(unnamed.found.find(({ code }) => code === 'token_not_tried')?.fix).toMatch(/--issuer/);
    const before = server.introspections(token);
    const named = await several(token, server.issuer);
    expect(problemsOf(named.found)).toEqual([]);
    expect(codesOf(named.found)).toContain('ok binding');
    expect([unnamed.shown, before, named.shown, server.introspections(token)]).toEqual([0, 0, 0, 1]);
    const byItsName = await several(await jwt(), undefined, jwtAccessTokens());
    expect(codesOf(byItsName.found)).toContain('ok binding');
    const stranger = await several(token, 'https://elsewhere.example.com');
    expect(problemsOf(stranger.found)).toEqual([
      ['token_wrong_issuer', expect.stringMatching(/add its issuer to the option issuers/)],
    ]);
    expect(stranger.shown).toBe(0);
    const messages = named.found.filter(({ code }) => code === 'clock').map(({ message }) => message);
    expect(messages[0]).toContain(server.issuer);
  });
});

describeReal('redis-server', 'beside a real Redis', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.kill());

  const sharing = async (): Promise<Finding[]> => {
    const store = new KeyvRedis(redis.url);
    const client = createClient({ url: redis.url });
    client.on('error', () => undefined);
    const connecting = client.connect().catch(() => undefined);
    const words = 's'.repeat(32);
    try {
      return await checked({
        sharedCache: { store: new Keyv({ store }), secret: words },
        revocations: { channel: redisChannel(client), secret: words },
      });
    } finally {
      client.destroy();
      await connecting;
      await store.disconnect(true).catch(() => undefined);
    }
  };

  it('finds nothing where it runs, and both that it was for where it was stopped', async () => {
    const found = await sharing();
    expect(problemsOf(found)).toEqual([]);
    expect(codesOf(found)).toEqual(expect.arrayContaining(['ok shared_store', 'ok revocation_channel']));
    await redis.kill();
    expect(problemsOf(await sharing())).toEqual([
      [
        'shared_store_unreachable',
        expect.stringMatching(/address, the credentials and the rights of sharedCache\.store/),
      ],
      [
        'revocation_channel_unreachable',
        expect.stringMatching(/address and credentials of revocations\.channel/),
      ],
    ]);
  });
});

describe('the command as it is built', () => {
  const environment = (changes: NodeJS.ProcessEnv = {}) => ({ ...files.environment, ...changes });
  const check = () => ['check', '--token', '-', '--cert', files.cert];
  /** Our own clock, five minutes ahead. */
  const ahead = '--import=data:text/javascript,const{now}=Date;Date.now=()=>now()+300000';

  it('finds nothing where all is well, and shows neither token nor secret', async () => {
    const token = await server.token(clients().alice);
    const result = await runDoctor(check(), environment(), token);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toMatch(/^ok {7}binding: /m);
    expect(result.stdout).not.toContain(token);
    expect(result.stdout).not.toContain(server.secrets.api);
  });

  it.each<[string, string, RegExp, () => NodeJS.ProcessEnv]>([
    [
      'a wrong secret',
      'wrong_credentials',
      /check clientId/,
      () => ({ MTLS_BOUND_CLIENT_SECRET: 'another' }),
    ],
    [
      'a certificate authority that no option names',
      'private_ca_missing',
      /MTLS_BOUND_CA_FILE/,
      () => ({ MTLS_BOUND_CA_FILE: undefined }),
    ],
    [
      'a wrong audience',
      'wrong_audience',
      /set the option audience/,
      () => ({ MTLS_BOUND_AUDIENCE: 'https://other.example.com' }),
    ],
    ['clocks that are five minutes apart', 'clock_skew', /NTP/, () => ({ NODE_OPTIONS: ahead })],
  ])('finds %s', async (_, problem, fix, changes) => {
    const token = await server.token(clients().alice);
    const { code, findings } = await findingsOfDoctor(check(), environment(changes()), token);
    expect(problemsOf(findings)).toEqual([[problem, expect.stringMatching(fix)]]);
    expect(code).toBe(1);
  });
});
