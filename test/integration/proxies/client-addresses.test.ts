import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  apache,
  caddy,
  envoy,
  haproxy,
  nginx,
  type ProxyPreset,
  proxyHeader,
  type ResourceServerOptions,
  rfc9440,
  uniIdLibra,
} from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { frameworks, mutualTls } from '../../support/apis.js';
import { audience } from '../../support/authorization-server.js';
import { answer } from '../../support/faulty-server.js';
import { close } from '../../support/loopback.js';
import { describeReal } from '../../support/programs.js';
import { type ProxyProgram, type RealProxy, startProxy } from '../../support/real-proxies.js';
import { useFaultyServer } from '../../support/suites.js';

const secret = 'the-secret-of-this-test-run';
/** The address that clients connect from. That of the proxy is 127.0.0.1. */
const clientAddress = '127.0.0.2';
const allowance = 3;

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();
server.introspection = answer(200, { active: false });

type Framework = (typeof frameworks)[number];

/** The functions that docs/reference/load.md shows: for Express, and for Koa. */
function addressFunction(framework: Framework): (req: never) => string | undefined {
  const page = textOf('docs/reference/load.md');
  const [, section = ''] = page.split('### Which address counts');
  const [expressOne = '', koaOne = ''] = [...section.matchAll(/address: (\(req\) => .+?) \}/g)].map(
    ([, text = '']) => text,
  );
  return new Function(`return ${framework === 'Express' ? expressOne : koaOne}`)();
}

function listenerOf(framework: Framework, preset: ProxyPreset, seen: unknown[], isUnix: boolean) {
  const addressOf = addressFunction(framework);
  const options: ResourceServerOptions = {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'secret',
    audience,
    http: { ca: pki.ca.cert },
    binding: 'when-bound',
    certificate: proxyHeader(preset, {
      trust: isUnix ? 'unix' : 'loopback',
      secret: { header: 'x-proxy-secret', value: secret },
    }),
    floodGuard: {
      allowance,
      address: (req) => {
        const address = addressOf(req as never);
        seen.push(address);
        return address;
      },
    },
  };
  if (framework === 'Express') {
    const app = express();
    app.set('trust proxy', isUnix ? 1 : '127.0.0.1');
    app.use(expressMtls.mtlsBound(options));
    return app as RequestListener;
  }
  const app = new Koa();
  app.use(koaMtls.mtlsBound(options));
  return app.callback();
}

interface Row {
  readonly config: string;
  readonly program: ProxyProgram;
  readonly preset: () => ProxyPreset;
  readonly upstreamKind?: 'unix' | 'mutual TLS';
}

const rows: readonly Row[] = [
  { program: 'nginx', config: 'nginx/nginx.conf', preset: nginx },
  { program: 'nginx', config: 'nginx/fapi.conf', preset: uniIdLibra },
  { program: 'nginx', config: 'nginx/unix-socket.conf', preset: nginx, upstreamKind: 'unix' },
  { program: 'nginx', config: 'nginx/mutual-tls-hop.conf', preset: nginx, upstreamKind: 'mutual TLS' },
  { program: 'haproxy', config: 'haproxy/haproxy.cfg', preset: haproxy },
  { program: 'apache2', config: 'apache/apache.conf', preset: apache },
  { program: 'apache2', config: 'apache/rfc9440.conf', preset: rfc9440 },
  { program: 'caddy', config: 'caddy/Caddyfile', preset: caddy },
  { program: 'envoy', config: 'envoy/envoy.yaml', preset: envoy },
];

for (const { program, config, preset, upstreamKind } of rows) {
  describeReal(program, `the address of a client behind ${config}`, () => {
    describe.each(frameworks)('%s', (framework) => {
      const seen: unknown[] = [];
      const arrived: (string | undefined)[][] = [];
      let proxy: RealProxy;
      let stop: () => Promise<void>;

      beforeAll(async () => {
        const api = listenerOf(framework, preset(), seen, upstreamKind === 'unix');
        const recording: RequestListener = (req, res) => {
          const { 'x-forwarded-for': forwarded, 'x-real-ip': real } = req.headersDistinct;
          arrived.push([forwarded?.join(' and '), real?.join(' and ')]);
          api(req, res);
        };
        const upstream =
          upstreamKind === 'mutual TLS'
            ? createTlsServer(mutualTls(pki), recording as never)
            : createServer(recording);
        const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-address-'));
        const path = join(folder, 'api.sock');
        upstream.listen(upstreamKind === 'unix' ? { path } : { host: '127.0.0.1', port: 0 });
        await once(upstream, 'listening');
        const to = upstreamKind === 'unix' ? path : (upstream.address() as AddressInfo).port;
        proxy = await startProxy({ program, config, pki, upstream: to, secret });
        stop = async () => {
          await proxy.close();
          await close(upstream as never);
          rmSync(folder, { recursive: true, force: true });
        };
      });
      afterAll(() => stop?.());

      const status = (token: string, headers: readonly (readonly [string, string])[]) =>
        new Promise((resolve, reject) => {
          const head = [['Host', 'api.example.com'], ['Authorization', `Bearer ${token}`], ...headers].flat();
          request(
            {
              host: '127.0.0.1',
              localAddress: clientAddress,
              servername: 'api.example.com',
              port: proxy.port,
              ca: pki.ca.cert,
              agent: false,
              headers: head as never,
            },
            (response) => {
              response.resume();
              response.on('end', () => resolve(response.statusCode));
            },
          )
            .on('error', reject)
            .end();
        });

      it('is the one that it connects from, whatever X-Forwarded-For it invents', async () => {
        const statuses = [
          await status('made-up-1', []),
          await status('made-up-2', [['X-Forwarded-For', '10.9.0.1']]),
          await status('made-up-3', [
            ['X-Forwarded-For', '10.9.0.2'],
            ['x-forwarded-for', '127.0.0.1'],
            ['X-Real-IP', '10.9.0.3'],
          ]),
          // Its allowance is used up, and another address does not get it a new one.
          await status('made-up-4', [['X-Forwarded-For', '10.9.0.4']]),
        ];
        expect(statuses).toEqual([401, 401, 401, 429]);
        expect(arrived.map(([forwarded]) => forwarded)).toEqual(Array(4).fill(clientAddress));
        expect(new Set(seen)).toEqual(new Set([clientAddress]));
      });
    });
  });
}

describe('with what the page says for its framework, only the last entry of X-Forwarded-For counts', () => {
  const call = (listener: RequestListener): Promise<string> =>
    new Promise((resolve, reject) => {
      const api = createServer(listener).listen(0, '127.0.0.1', async () => {
        const { port } = api.address() as AddressInfo;
        const headers = { 'X-Forwarded-For': `10.9.0.1, ${clientAddress}` };
        await fetch(`http://127.0.0.1:${port}/`, { headers })
          .then((response) => response.text())
          .then(resolve, reject);
        await close(api);
      });
    });

  it.each([1, '127.0.0.1'])('Express, trust proxy %s', async (trusted) => {
    const app = express();
    app.set('trust proxy', trusted);
    app.use((req, res) => res.send(`${req.ip} ${addressFunction('Express')(req as never)}`));
    expect(await call(app)).toBe(`${clientAddress} ${clientAddress}`);
  });

  it('Koa, maxIpsCount 1', async () => {
    const app = new Koa({ proxy: true, maxIpsCount: 1 });
    app.use((ctx) => {
      ctx.body = `${ctx.ip} ${addressFunction('Koa')(ctx.req as never)}`;
    });
    expect(await call(app.callback())).toBe(`${clientAddress} ${clientAddress}`);
  });

  it('Express, trust proxy true: the entry that the client invented counts', async () => {
    const app = express();
    app.set('trust proxy', true);
    app.use((req, res) => res.send(req.ip));
    expect(await call(app)).toBe('10.9.0.1');
  });
});
