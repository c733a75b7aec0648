import { randomBytes, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as expressMtls from 'express-mtls';
import { decodeJwt, decodeProtectedHeader, UnsecuredJWT } from 'jose';
import * as koaMtls from 'koa-mtls';
import type supertest from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Framework, frameworks, startApi, type TestApi } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import { generateP256 } from '../../support/key-pairs.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import {
  otherAudience,
  type RealAuthorizationServer,
  type RealClients,
} from '../../support/real-authorization-server.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { pageOptions } from './page-options.js';

/** The ways to check tokens that each page shows, by their headings. */
const modes = [
  { heading: 'By introspection', asks: 'always', proof: 'client_secret' },
  { heading: 'By introspection, with a certificate', asks: 'always', proof: 'tls_client_auth' },
  { heading: 'By JWT', asks: 'never', proof: 'client_secret' },
  {
    heading: 'By JWT, and introspection where revocation must not wait',
    asks: 'there',
    proof: 'client_secret',
  },
] as const;

type Mode = (typeof modes)[number] & { readonly tokens?: 'opaque' };

const opaqueTokens = { ...modes[0], tokens: 'opaque' } as const;

/** What an API needs to know of a way to check tokens. */
type Shown = Pick<Mode, 'proof'> & { readonly heading: string };

/** What the tests of one authorization server share: it is started once. */
export interface World<Server extends RealAuthorizationServer> {
  readonly pki: Pki;
  readonly server: Server;
  /** An API with the options of the page. */
  startApi(framework: Framework, shown: Shown, more?: expressMtls.ResourceServerOptions): Promise<TestApi>;
}

interface Subject<Server extends RealAuthorizationServer> {
  /** Below docs/reference/authorization-servers. */
  readonly page: string;
  readonly start: (pki: Pki) => Promise<Server>;
  readonly startTimeout: number;
  /** Whether it issues opaque access tokens as well. */
  readonly issuesOpaqueTokens?: boolean;
  /** Tests that other servers do not have. */
  readonly further?: (world: () => World<Server>) => void;
}

const refused = recordedEvents<expressMtls.RefusedEvent>('mtls-bound:refused');

/** Tests one authorization server: the same requests in both frameworks and each mode of its page. */
export function testAuthorizationServer<Server extends RealAuthorizationServer>({
  page,
  start,
  startTimeout,
  issuesOpaqueTokens = false,
  further,
}: Subject<Server>): void {
  let world: World<Server>;
  let folder: string;

  beforeAll(async () => {
    const pki = await createPki();
    const server = await start(pki);
    folder = mkdtempSync(join(tmpdir(), 'mtls-bound-page-'));
    writeFileSync(join(folder, 'api.pem'), pki.proxy.cert + pki.ca.cert);
    writeFileSync(join(folder, 'api.key'), pki.proxy.key);
    const replace = {
      [pageOrigin(page)]: server.origin,
      'process.env.MTLS_BOUND_CLIENT_SECRET': `'${server.apiSecret}'`,
      "'api.pem'": `'${join(folder, 'api.pem')}'`,
      "'api.key'": `'${join(folder, 'api.key')}'`,
    };
    world = {
      pki,
      server,
      startApi: async (framework, { heading, proof }, more) => {
        await server.apiAuthenticatesBy(proof);
        const adapter = framework === 'Express' ? expressMtls : koaMtls;
        const options = pageOptions(
          `docs/reference/authorization-servers/${page}.md`,
          heading,
          adapter,
          replace,
        );
        return startApi(framework, pki, { ...options, http: { ca: pki.ca.cert }, ...more });
      },
    };
  }, startTimeout);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await world.server.stop();
  });

  describe.each(modes)('$heading', (mode) => {
    describe.each(frameworks)('%s', (framework) => {
      testRequests(() => world, framework, mode);
    });
  });

  if (issuesOpaqueTokens) {
    describe('By introspection, of opaque tokens', () => {
      describe.each(frameworks)('%s', (framework) => {
        testRequests(() => world, framework, opaqueTokens);
      });
    });
  }

  it('its metadata name the endpoints for mutual TLS', async () => {
    const { server, pki } = world;
    const { body } = await call(pki, { url: server.issuer }, '/.well-known/openid-configuration');
    expect(body.issuer).toBe(server.issuer);
    expect(body.tls_client_certificate_bound_access_tokens).toBe(true);
    expect(body.mtls_endpoint_aliases).toMatchObject({
      token_endpoint: expect.stringMatching(/^https:/),
      introspection_endpoint: expect.stringMatching(/^https:/),
    });
  });

  further?.(() => world);

  testRotation(() => world);
  testOutage(() => world);
}

const pageOrigin = (page: string): string => `https://${page}.example.com`;

function testRequests(world: () => World<RealAuthorizationServer>, framework: Framework, mode: Mode): void {
  let pki: Pki;
  let server: RealAuthorizationServer;
  let clients: RealClients;
  let api: TestApi;
  let alices: string;
  const request = (token: string, identity?: Identity, path = '/'): supertest.Test =>
    call(pki, api, path, identity).auth(token, { type: 'bearer' });
  const tokenOf = async (client: Parameters<typeof server.issue>[0]): Promise<string> =>
    (await server.issue(client)).access_token;
  /** Expects 401, and the code for the operator. */
  const expectRefused = async (answer: supertest.Test, code: string): Promise<void> => {
    const { status, body } = await answer;
    expect({ status, error: body.error }).toEqual({ status: 401, error: 'invalid_token' });
    expect(refused.at(-1)?.refusal.code).toBe(code);
  };
  /** Expects 401 for what neither the server nor its key vouches for, with one of these codes if it is validated here. */
  const expectUnknown = async (answer: supertest.Test, ...byJwt: readonly string[]): Promise<void> => {
    const { status, body } = await answer;
    expect({ status, error: body.error }).toEqual({ status: 401, error: 'invalid_token' });
    // A server may call a token active in the second in which it expires.
    const codes =
      mode.asks === 'always' ? ['token_inactive', 'token_wrong_audience', 'token_expired'] : byJwt;
    expect(codes).toContain(refused.at(-1)?.refusal.code);
  };

  beforeAll(async () => {
    ({ pki, server } = world());
    clients = clientsOf(server, mode);
    api = await world().startApi(framework, mode);
    alices = await tokenOf(clients.alice);
  });
  afterAll(() => api.close());

  it('accepts a client with a certificate of the authority', async () => {
    const { status, body } = await request(alices, pki.alice);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      issuer: server.issuer,
      clientId: clients.alice.clientId,
      isBound: true,
      frozen: true,
    });
    expect(body.scopes).toEqual(expect.arrayContaining(['accounts:read', 'payments:write']));
  });

  it('accepts a client with a self-signed certificate', async () => {
    const { status, body } = await request(await tokenOf(clients.selfSigned), pki.selfSignedEc);
    expect({ status, clientId: body.clientId }).toEqual({
      status: 200,
      clientId: clients.selfSigned.clientId,
    });
  });

  it('refuses a stolen token with the certificate of the thief', async () => {
    await expectRefused(request(await tokenOf(clients.alice), pki.bob), 'certificate_mismatch');
  });

  it('refuses a stolen token that its client has just used', async () => {
    expect((await request(alices, pki.alice)).status).toBe(200);
    await expectRefused(request(alices, pki.bob), 'certificate_mismatch');
  });

  it('refuses another certificate of the same name and key', async () => {
    await expectRefused(request(alices, pki.aliceRenewed), 'certificate_mismatch');
  });

  it('refuses a stolen token without a certificate', async () => {
    await expectRefused(request(alices), 'certificate_missing');
  });

  it('refuses a token that is bound to nothing', async () => {
    await expectRefused(request(await tokenOf(clients.unbound), pki.alice), 'token_unbound');
  });

  if (mode.tokens === 'opaque') {
    it('refuses a token that the server has not issued', async () => {
      await expectUnknown(request(randomBytes(96).toString('base64url'), pki.alice));
      await expectUnknown(request(`${alices}A`, pki.alice));
    });
  } else {
    it('refuses a JWT without a signature that is bound to the thief', async () => {
      const claims = { ...decodeJwt(alices), cnf: { 'x5t#S256': pki.bob.thumbprint } };
      await expectUnknown(request(new UnsecuredJWT(claims).encode(), pki.bob), 'jwt_algorithm_not_accepted');
    });

    it('refuses a token that the thief has bound to another certificate', async () => {
      await expectUnknown(request(rebound(alices, pki.bob), pki.bob), 'jwt_signature_invalid');
    });

    it("refuses a token that the thief has signed under the name of the server's key", async () => {
      await expectUnknown(
        request(forged(alices, pki.bob), pki.bob),
        'jwt_key_unknown',
        'jwt_signature_invalid',
      );
    });
  }

  it('refuses a token that has expired', async () => {
    const hasty = await tokenOf(clients.hasty);
    // A JWT passes for `clockTolerance` longer.
    const strict = await world().startApi(framework, mode, { clockTolerance: 0 });
    await sleep(2100);
    await expectUnknown(call(pki, strict, '/', pki.alice).auth(hasty, { type: 'bearer' }), 'token_expired');
    await strict.close();
  });

  it('refuses a token of another API, and one that is for no API', async () => {
    const others = await tokenOf({ ...clients.alice, resource: otherAudience });
    await expectUnknown(request(others, pki.alice), 'token_wrong_audience');
    const unaddressed = await tokenOf({ ...clients.alice, resource: null });
    await expectUnknown(request(unaddressed, pki.alice), 'token_wrong_audience', 'token_claims_malformed');
  });

  it('refuses a token without the scope of a route', async () => {
    expect((await request(alices, pki.alice, '/payments')).status).toBe(200);
    const reader = await tokenOf({ ...clients.alice, scope: 'accounts:read' });
    const { status, body } = await request(reader, pki.alice, '/payments');
    expect({ status, error: body.error }).toEqual({ status: 403, error: 'insufficient_scope' });
    expect((await request(reader, pki.alice)).status).toBe(200);
  });

  it('refuses refresh tokens and ID tokens', async () => {
    const { access_token, refresh_token, id_token } = await server.issue(clients.everything);
    expect((await request(access_token, pki.alice)).status).toBe(200);
    const others = [refresh_token, id_token].filter((token) => token !== undefined);
    expect(others).not.toHaveLength(0);
    for (const token of others) {
      await expectUnknown(
        request(token, pki.alice),
        'jwt_algorithm_not_accepted',
        'jwt_type_not_accepted',
        'jwt_malformed',
      );
    }
  });

  it('knows a revocation where it asks', async () => {
    const token = await tokenOf(clients.alice);
    await server.revoke(clients.alice, token);
    const { status } = await request(token, pki.alice);
    expect(status).toBe(mode.asks === 'always' ? 401 : 200);
  });

  it('knows a revocation at once on a route with requireActive()', async () => {
    const token = await tokenOf(clients.alice);
    const [before, after] = mode.asks === 'never' ? [503, 503] : [200, 401];
    expect((await request(token, pki.alice, '/active')).status).toBe(before);
    await server.revoke(clients.alice, token);
    expect((await request(token, pki.alice, '/active')).status).toBe(after);
  });
}

function clientsOf(server: RealAuthorizationServer, mode: Mode): RealClients {
  const clients = mode.tokens === 'opaque' ? server.clientsOfOpaqueTokens : server.clients;
  if (clients === undefined) {
    throw new Error('the server has no clients with opaque tokens');
  }
  return clients;
}

/** Replaces the certificate in the claims of a token, and keeps its signature. */
function rebound(token: string, thief: Identity): string {
  const [header, , signature] = token.split('.');
  return [header, encoded(claimsFor(token, thief)), signature].join('.');
}

/** Replaces the certificate in the claims, and signs with a key of the thief that the header shows. */
function forged(token: string, thief: Identity): string {
  const { privateKey, publicKey } = generateP256();
  const header = { ...decodeProtectedHeader(token), alg: 'ES256', jwk: publicKey.export({ format: 'jwk' }) };
  const content = `${encoded(header)}.${encoded(claimsFor(token, thief))}`;
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${content}.${sign('sha256', Buffer.from(content), key).toString('base64url')}`;
}

const claimsFor = (token: string, { thumbprint }: Identity): object => ({
  ...decodeJwt(token),
  cnf: { 'x5t#S256': thumbprint },
});

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function testRotation(world: () => World<RealAuthorizationServer>): void {
  it('a new key signs, and tokens of the old key pass until it is withdrawn', async () => {
    const { server, pki } = world();
    const { alice } = server.clients;
    const apis = await everyApi(world());
    const first = (await server.issue(alice)).access_token;
    const askAll = (token: string) =>
      statuses(apis, (api) => call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' }));
    expect(await askAll(first)).toEqual(all(apis, 200));
    const { withdrawOldKeys } = await server.rotateKeys();
    const old = (await server.issue({ ...alice, scope: 'accounts:read' })).access_token;
    expect(decodeProtectedHeader(old).kid).not.toBe(decodeProtectedHeader(first).kid);
    expect(await askAll(first)).toEqual(all(apis, 200));
    expect(await askAll(old)).toEqual(all(apis, 200));
    await withdrawOldKeys();
    // Processes that have not seen the old key.
    const later = await everyApi(world());
    const askLater = (token: string) =>
      statuses(later, (api) => call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' }));
    const asked = server.tokensOfWithdrawnKeys === 'active' ? 200 : 401;
    const byMode = later.map(({ name, asks }) => [name, asks === 'always' ? asked : 401]);
    expect(await askLater(first)).toEqual(Object.fromEntries(byMode));
    expect(await askLater(old)).toEqual(all(later, 200));
    await Promise.all([...apis, ...later].map(({ api }) => api.close()));
  });
}

interface NamedApi {
  readonly name: string;
  readonly asks: Mode['asks'];
  readonly api: TestApi;
}

/** Starts an API for each framework and mode in which the API's client has a secret. */
async function everyApi({ startApi: start }: World<RealAuthorizationServer>): Promise<NamedApi[]> {
  const apis: NamedApi[] = [];
  for (const mode of modes.filter(({ proof }) => proof === 'client_secret')) {
    for (const framework of frameworks) {
      apis.push({
        name: `${framework}: ${mode.heading}`,
        asks: mode.asks,
        api: await start(framework, mode),
      });
    }
  }
  return apis;
}

async function statuses(
  apis: readonly NamedApi[],
  ask: (api: TestApi) => supertest.Test,
): Promise<Record<string, number>> {
  const answers: Record<string, number> = {};
  for (const { name, api } of apis) {
    answers[name] = (await ask(api)).status;
  }
  return answers;
}

const all = (apis: readonly NamedApi[], status: number): Record<string, number> =>
  Object.fromEntries(apis.map(({ name }) => [name, status]));

/** Has to be the last test of a file: it stops the server. */
function testOutage(world: () => World<RealAuthorizationServer>): void {
  it('while the server is stopped, known tokens and JWTs pass, and no other', async () => {
    const { server, pki } = world();
    const { alice } = server.clients;
    const apis = await everyApi(world());
    const [known, fresh] = [
      (await server.issue(alice)).access_token,
      (await server.issue(alice)).access_token,
    ];
    const ask = (token: string, path = '/') =>
      statuses(apis, (api) => call(pki, api, path, pki.alice).auth(token, { type: 'bearer' }));
    expect(await ask(known)).toEqual(all(apis, 200));
    await server.stop();
    expect(await ask(known)).toEqual(all(apis, 200));
    const byMode = apis.map(({ name, asks }) => [name, asks === 'always' ? 503 : 200]);
    expect(await ask(fresh)).toEqual(Object.fromEntries(byMode));
    expect(await ask(known, '/active')).toEqual(all(apis, 503));
    const stolen = await statuses(apis, (api) =>
      call(pki, api, '/', pki.bob).auth(known, { type: 'bearer' }),
    );
    expect(stolen).toEqual(all(apis, 401));
    await Promise.all(apis.map(({ api }) => api.close()));
  });
}
