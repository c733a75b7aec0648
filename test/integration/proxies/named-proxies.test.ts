// proxyCertificate by name: a proxy connects by mutual TLS, and is known by its authority and its name.
import 'reflect-metadata';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import {
  nginx,
  type ProblemEvent,
  type ProxyCertificates,
  proxyHeader,
  type RefusedEvent,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework, frameworks, serve } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { authority, client, type Node } from '../../support/chains.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import {
  accepted,
  type Chain,
  impostor,
  issuing,
  mesh,
  named,
  otherAuthority,
  proxyHost,
  proxyId,
  refused,
} from '../../support/named-proxy-cases.js';
import { describeReal } from '../../support/programs.js';
import { startProxy } from '../../support/real-proxies.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refusals = recordedEvents<RefusedEvent>('mtls-bound:refused');
const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');
const { pki, server } = await useFaultyServer();
server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));

const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-mesh-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** An API over TLS that asks for a certificate and has no `ca`: Node verifies none of the mesh's. */
async function startApi(
  framework: Framework,
  proxyCertificate: ProxyCertificates,
  more: ResourceServerOptions = {},
) {
  const { listener } = createApi(framework, {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 's',
    audience,
    http: { ca: pki.ca.cert },
    certificate: proxyHeader(nginx(), { trust: 'loopback', proxyCertificate }),
    ...more,
  });
  const { cert, key } = pki.server;
  const tls = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, listener);
  const verdicts: (boolean | undefined)[] = [];
  tls.on('secureConnection', (socket: TLSSocket) => verdicts.push(socket.authorized));
  return { ...(await serve(tls, () => 0)), tls, verdicts };
}

interface HopAnswer {
  readonly status: number | undefined;
  readonly session: Buffer | undefined;
  readonly isReused: boolean;
}

/** Sends what a proxy sends: the header of alice, over mutual TLS with this chain. */
function hop(
  port: number,
  chain: readonly Node[],
  more: { readonly session?: Buffer | undefined; readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3' } = {},
): Promise<HopAnswer> {
  return new Promise((resolve, reject) => {
    let session: Buffer | undefined;
    let socket: TLSSocket | undefined;
    const sending = request(
      {
        host: '127.0.0.1',
        port,
        ca: pki.ca.cert,
        servername: 'localhost',
        ...(chain.length > 0 && { cert: chain.map(({ cert }) => cert).join(''), key: chain[0]?.key }),
        ...more,
        agent: false,
        headers: {
          authorization: 'Bearer token',
          'x-ssl-client-cert': encodeURIComponent(pki.alice.cert),
        },
      },
      (response) => {
        response.resume();
        response.on('end', () =>
          resolve({ status: response.statusCode, session, isReused: socket?.isSessionReused() === true }),
        );
      },
    );
    sending.on('socket', (one) => {
      socket = one as TLSSocket;
      socket.on('session', (ticket) => {
        session = ticket;
      });
    });
    sending.on('error', reject).end();
  });
}

describe.each(frameworks)('%s', (framework) => {
  it.each(accepted)('trusts %s', async (_, name, chain) => {
    const api = await startApi(framework, { ca: mesh.cert, ...name });
    try {
      expect([await hop(api.port, chain), await hop(api.port, chain)]).toMatchObject([
        { status: 200 },
        { status: 200 },
      ]);
      // Node itself verified none of them.
      expect(api.verdicts).toEqual([false, false]);
      expect(problems).toEqual([]);
    } finally {
      await api.close();
    }
  });

  it.each(refused)('does not trust %s, and says why', async (_, name, chain, why) => {
    const api = await startApi(framework, { ca: mesh.cert, ...name });
    try {
      expect((await hop(api.port, chain)).status).toBe(401);
      expect((await hop(api.port, chain)).status).toBe(401);
      expect(problems.map(({ code }) => code)).toEqual(['untrusted_proxy', 'untrusted_proxy']);
      for (const { message } of problems) {
        expect(message).toMatch(why);
      }
      expect(refusals[0]?.explanation).toMatchObject({
        hintCode: 'proxy_not_trusted',
        hint: expect.stringMatching(why),
      });
    } finally {
      await api.close();
    }
  });

  it('a request without a certificate of the proxy is not trusted', async () => {
    const api = await startApi(framework, { ca: mesh.cert, uri: proxyId });
    try {
      expect((await hop(api.port, [])).status).toBe(401);
      expect(problems[0]?.message).toMatch(/the proxy sends none, or the server does not ask for one/);
    } finally {
      await api.close();
    }
  });

  it('a list: thumbprints and names, and each name by its own authority alone', async () => {
    const [byId, byHost, crossed, listed] = await Promise.all([
      client('CN=a', mesh, named(['url', proxyId])),
      client('CN=b', otherAuthority, named(['dns', proxyHost])),
      client('CN=c', otherAuthority, named(['url', proxyId])),
      client('CN=d', impostor, named(['url', proxyId])),
    ]);
    const { thumbprint } = new (await import('@mtls-bound/core')).ClientCertificate(listed.der);
    const api = await startApi(framework, [
      thumbprint,
      { ca: mesh.cert, uri: [`${proxyId}2`, proxyId] },
      { ca: [otherAuthority.cert], dns: proxyHost },
    ]);
    try {
      const statuses = [];
      for (const one of [byId, byHost, crossed, listed]) {
        statuses.push((await hop(api.port, [one])).status);
      }
      expect(statuses).toEqual([200, 200, 401, 200]);
      expect(problems[0]?.message).toContain(
        'its thumbprint is none of those listed; ' +
          `proxyCertificate[1] expects uri "${proxyId}2" or "${proxyId}", and its chain leads to none of the ` +
          'authorities of ca: no path leads to one of the authorities; ' +
          `proxyCertificate[2] expects dns "${proxyHost}", and it has none`,
      );
    } finally {
      await api.close();
    }
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'over a resumed %s session the proxy is trusted as before, though its intermediate is gone',
    async (maxVersion) => {
      const chain: Chain = [await client('CN=proxy', issuing, named(['url', proxyId])), issuing];
      const other: Chain = [await client('CN=x', issuing, named(['url', `${proxyId}2`])), issuing];
      const api = await startApi(framework, { ca: mesh.cert, uri: proxyId });
      try {
        for (const [one, status] of [
          [chain, 200],
          [other, 401],
        ] as const) {
          const first = await hop(api.port, one, { maxVersion });
          expect(first).toMatchObject({ status, isReused: false });
          const { session } = first;
          const again = [
            await hop(api.port, one, { maxVersion, session }),
            await hop(api.port, one, { maxVersion, session }),
          ];
          expect(again[0]).toMatchObject({ status, isReused: true });
          expect(again[1]?.status).toBe(status);
        }
      } finally {
        await api.close();
      }
    },
  );

  it('with binding: "report" a proxy that is not recognized is reported with its names', async () => {
    const api = await startApi(framework, { ca: mesh.cert, uri: proxyId }, { binding: 'report' });
    try {
      const [cart] = await Promise.all([
        client('CN=cart', mesh, named(['url', 'spiffe://mesh.example/cart'])),
      ]);
      expect((await hop(api.port, [cart])).status).toBe(200);
      expect(reported).toMatchObject([
        {
          refusal: { code: 'certificate_missing' },
          explanation: { hint: expect.stringContaining('uri "spiffe://mesh.example/cart"') },
        },
      ]);
    } finally {
      await api.close();
    }
  });

  it('a proxy whose certificate is renewed again and again is trusted, another workload never', async () => {
    const ca = join(folder, `${framework}-ca.pem`);
    writeFileSync(ca, mesh.cert);
    const api = await startApi(framework, { ca, uri: proxyId });
    try {
      for (let renewal = 0; renewal < 5; renewal += 1) {
        const issuer = await authority(`CN=Issuing ${renewal}`, mesh);
        const proxy = await client('CN=proxy', issuer, named(['url', proxyId]));
        const cart = await client(
          'CN=proxy',
          issuer,
          named(['url', 'spiffe://mesh.example/ns/shop/sa/cart']),
        );
        expect((await hop(api.port, [proxy, issuer])).status).toBe(200);
        expect((await hop(api.port, [cart, issuer])).status).toBe(401);
      }
    } finally {
      await api.close();
    }
  });
});

describeReal('nginx', 'a real NGINX whose certificate is renewed while it runs', () => {
  it.each(frameworks)(
    '%s trusts each of its certificates, and no other workload of the mesh',
    async (framework) => {
      const own = mkdtempSync(join(tmpdir(), 'mtls-bound-own-'));
      mkdirSync(join(own, 'run'));
      let issuer = issuing;
      const renew = async (): Promise<void> => {
        const proxy = await client('CN=proxy', issuer, named(['url', proxyId]));
        writeFileSync(join(own, 'proxy.pem'), proxy.cert + issuer.cert);
        writeFileSync(join(own, 'proxy.key'), proxy.key);
      };
      await renew();
      const seen = new Set<string>();
      const statuses: (number | undefined)[] = [];
      const api = await startApi(framework, { ca: mesh.cert, uri: proxyId });
      api.tls.on('secureConnection', (socket: TLSSocket) => {
        seen.add(socket.getPeerCertificate().fingerprint256);
      });
      const proxy = await startProxy({
        program: 'nginx',
        config: 'nginx/mutual-tls-hop.conf',
        pki,
        upstream: api.port,
        secret: 'not-used-in-this-test',
        replace: {
          'proxy.pem': `../${basename(own)}/proxy.pem`,
          'proxy.key': `../${basename(own)}/proxy.key`,
        },
      });
      const through = () =>
        new Promise<number | undefined>((resolve, reject) => {
          const { cert, key } = pki.alice;
          request(
            {
              host: '127.0.0.1',
              port: proxy.port,
              ca: pki.ca.cert,
              servername: 'api.example.com',
              cert,
              key,
              agent: false,
              headers: { authorization: 'Bearer token' },
            },
            (response) => {
              response.resume();
              resolve(response.statusCode);
            },
          )
            .on('error', reject)
            .end();
        });
      try {
        for (let renewal = 1; renewal <= 4; renewal += 1) {
          statuses.push(await through(), await through());
          const cart = await client(
            'CN=proxy',
            issuer,
            named(['url', 'spiffe://mesh.example/ns/shop/sa/cart']),
          );
          expect((await hop(api.port, [cart, issuer])).status).toBe(401);
          if (renewal === 2) {
            issuer = await authority('CN=Issuing, O=Example', mesh);
          }
          const before = seen.size;
          await renew();
          process.kill(Number(readFileSync(join(proxy.folder, 'nginx.pid'), 'utf8')), 'SIGHUP');
          await vi.waitFor(
            async () => {
              statuses.push(await through());
              expect(seen.size).toBeGreaterThan(before);
            },
            { timeout: 20_000, interval: 50 },
          );
        }
        expect(new Set(statuses)).toEqual(new Set([200]));
        // Five certificates of the proxy, and four of the other workload.
        expect(seen.size).toBe(9);
      } finally {
        await proxy.close();
        await api.close();
        rmSync(own, { recursive: true });
      }
    },
  );
});

it('an HTTP server that asks for no certificate trusts no named proxy', async () => {
  const source = proxyHeader(nginx(), {
    trust: 'loopback',
    proxyCertificate: { ca: mesh.cert, uri: proxyId },
  });
  const { createServer: createPlain, request: plainRequest } = await import('node:http');
  const { listener } = createApi('Express', {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 's',
    audience,
    http: { ca: pki.ca.cert },
    certificate: source,
  });
  const api = createPlain(listener);
  const port = await listen(api);
  try {
    const status = await new Promise((resolve, reject) => {
      const headers = {
        authorization: 'Bearer token',
        'x-ssl-client-cert': encodeURIComponent(pki.alice.cert),
      };
      plainRequest({ host: '127.0.0.1', port, agent: false, headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
    expect(status).toBe(401);
    expect(problems.map(({ code }) => code)).toContain('untrusted_proxy');
  } finally {
    await close(api);
  }
});
