import { createServer } from 'node:https';
import { connect } from 'node:tls';
import Router from '@koa/router';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import mount from 'koa-mount';
import * as koaMtls from 'koa-mtls';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Listener, mutualTls } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { answer, type FaultyServer, goodClaims, startFaultyServer } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';

const tenants = ['acme', 'globex'] as const;
type Tenant = (typeof tenants)[number];

let pki: Pki;
let servers: Record<Tenant, FaultyServer>;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  const [acme, globex] = await Promise.all([startFaultyServer(pki), startFaultyServer(pki)]);
  servers = { acme, globex };
  for (const tenant of tenants) {
    // Each server knows its own token alone.
    servers[tenant].introspection = (req, res, body) =>
      answer(
        200,
        body.includes(`token=of-${tenant}`)
          ? goodClaims(servers[tenant].issuer, pki.alice.thumbprint)
          : { active: false },
      )(req, res, body);
  }
});
afterAll(() => Promise.all([servers?.acme.close(), servers?.globex.close()]));

const options = (selectIssuer: expressMtls.IssuerSelector) => ({
  audience,
  http: { ca: pki.ca.cert },
  floodGuard: false as const,
  issuers: tenants.map((tenant) => ({
    issuer: servers[tenant].issuer,
    clientId: 'api',
    clientSecret: 'a-secret',
  })),
  selectIssuer,
});

const byPath = () => expressMtls.issuerByPath({ '/': servers.acme.issuer, '/globex': servers.globex.issuer });
const byHost = () =>
  expressMtls.issuerByHost({
    'acme.example.com': servers.acme.issuer,
    'globex.example.com': servers.globex.issuer,
  });

/** APIs whose routes, not ours, decide which tenant answers: globex below its prefix, acme for all else. */
const pathRouters: Record<string, () => Listener> = {
  'Express 5, mounted routers, guard above': () => expressByPath(express, false),
  'Express 5, mounted routers, guard inside': () => expressByPath(express, true),
  'Express 4, mounted routers, guard above': () => expressByPath(express4, false),
  'Express 4, mounted routers, guard inside': () => expressByPath(express4, true),
  'koa-mount, guard above': () => koaByMount(false),
  'koa-mount, guard inside': () => koaByMount(true),
  '@koa/router': () => {
    const app = new Koa();
    app.use(koaMtls.mtlsBound(options(byPath())) as Koa.Middleware);
    const router = new Router();
    router.all('/globex{/*rest}', (ctx) => {
      ctx.body = 'tenant: globex';
    });
    router.all('{/*rest}', (ctx) => {
      ctx.body = 'tenant: acme';
    });
    app.use(router.routes());
    return app.callback() as Listener;
  },
};

function expressByPath(framework: typeof express, isInside: boolean): Listener {
  const app = framework();
  const guard = expressMtls.mtlsBound(options(byPath()));
  const chain = (tenant: Tenant) => {
    const router = framework.Router();
    if (isInside) {
      router.use(guard);
    }
    router.use((_req, res) => {
      res.send(`tenant: ${tenant}`);
    });
    return router;
  };
  if (!isInside) {
    app.use(guard);
  }
  app.use('/globex', chain('globex'));
  app.use(chain('acme'));
  return app as Listener;
}

function koaByMount(isInside: boolean): Listener {
  const app = new Koa();
  const guard = koaMtls.mtlsBound(options(byPath())) as Koa.Middleware;
  const chain = (tenant: Tenant) => {
    const inner = new Koa();
    if (isInside) {
      inner.use(guard);
    }
    inner.use((ctx) => {
      ctx.body = `tenant: ${tenant}`;
    });
    return inner;
  };
  if (!isInside) {
    app.use(guard);
  }
  app.use(mount('/globex', chain('globex')));
  app.use(mount('/', chain('acme')));
  return app.callback() as Listener;
}

/** APIs that tell tenants apart by the framework's own idea of the host: globex by its name, acme for all else. */
const hostRouters: Record<string, () => Listener> = {
  'Express 5': () => expressByHost(express),
  'Express 4': () => expressByHost(express4),
  Koa: () => {
    const app = new Koa();
    app.proxy = true;
    app.use(koaMtls.mtlsBound(options(byHost())) as Koa.Middleware);
    app.use((ctx) => {
      ctx.body = `tenant: ${ctx.hostname === 'globex.example.com' ? 'globex' : 'acme'}`;
    });
    return app.callback() as Listener;
  },
};

function expressByHost(framework: typeof express): Listener {
  const app = framework();
  app.set('trust proxy', true);
  app.use(expressMtls.mtlsBound(options(byHost())));
  app.use((req, res) => {
    res.send(`tenant: ${req.hostname === 'globex.example.com' ? 'globex' : 'acme'}`);
  });
  return app as Listener;
}

/** The status and the tenant that answered, for a head that is sent byte for byte. */
async function send(port: number, target: string, hosts: readonly string[], token: string) {
  const socket = connect({ port, host: '127.0.0.1', ca: pki.ca.cert, ...pki.alice });
  const lines = [`GET ${target} HTTP/1.1`, ...hosts, `Authorization: Bearer ${token}`];
  // Written, not ended: a half-closed connection gets no late answer.
  socket.write([...lines, 'Connection: close', '', ''].join('\r\n'), 'latin1');
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
  }
  return { status: Number(text.split(' ', 2)[1]), tenant: /tenant: (\w+)/.exec(text)?.[1] };
}

async function serving(listener: Listener, run: (port: number) => Promise<void>): Promise<void> {
  const server = createServer(mutualTls(pki), listener);
  try {
    await run(await listen(server));
  } finally {
    await close(server);
  }
}

const host = 'Host: acme.example.com';

const oddTargets = [
  ...[
    '/globex;v=1/x',
    '/globex%3Bv/x',
    '/globex/..;/x',
    '/globex/.;x/y',
    '/globex/..%3B/x',
    '/x/..;/globex/x',
  ],
  ...['/globex/%252e%252e/x', '/%2567lobex/x', '/globex%3F/x', '/;/globex/x', '/globex/%EF%BC%8E%EF%BC%8E/x'],
  ...['/GLOBEX/x', '/%67lobex/x', '/glo%62ex', '/globex%2Fx', '/globex%2fx', '/globex%5Cx', '/globex\\x'],
  ...['//globex/x', '/globex//x', '///globex', '/./globex/x', '/x/../globex/x', '/globex/../x', '/globex/..'],
  ...['/%2e/globex/x', '/x/%2e%2e/globex/x', '/globex/%2e%2e/x', '/globex/..%2Fx', '/globex/.%2e/x'],
  ...[
    '/globex/%',
    '/globex/%zz/x',
    '/globex/%c0%ae/x',
    '/%/globex',
    '/globex%',
    '/globex%00',
    '/globex/%E0%A4%A',
  ],
  ...['/globex;x=1/y', '/globex#/x', '/x#/globex', '/globex?x=/acme', '/?/globex', '/globex.', '/globex%20'],
  ...['http://acme.example.com/globex/x', 'https://acme.example.com/x', 'http://globex/x', 'x://y/globex'],
];

describe.each(Object.entries(pathRouters))('issuerByPath() and %s', (_title, create) => {
  it("each tenant's own token reaches its routes", () =>
    serving(create(), async (port) => {
      expect(await send(port, '/accounts', [host], 'of-acme')).toEqual({ status: 200, tenant: 'acme' });
      expect(await send(port, '/globex/accounts', [host], 'of-globex')).toEqual({
        status: 200,
        tenant: 'globex',
      });
      expect((await send(port, '/globex/accounts', [host], 'of-acme')).status).toBe(401);
      expect((await send(port, '/accounts', [host], 'of-globex')).status).toBe(401);
      expect((await send(port, '/x/globex/accounts', [host], 'of-globex')).status).toBe(401);
    }));

  it('refuses requests while Object.prototype has a member originalUrl', () =>
    serving(create(), async (port) => {
      Object.defineProperty(Object.prototype, 'originalUrl', {
        value: '/globex/x',
        configurable: true,
        writable: true,
      });
      try {
        for (const tenant of tenants) {
          expect((await send(port, '/accounts', [host], `of-${tenant}`)).status).toBe(503);
        }
      } finally {
        Reflect.deleteProperty(Object.prototype, 'originalUrl');
      }
      expect((await send(port, '/accounts', [host], 'of-acme')).status).toBe(200);
    }));

  it('no odd path lets a token reach the routes of another tenant', () =>
    serving(create(), async (port) => {
      for (const target of oddTargets) {
        for (const tenant of tenants) {
          const answered = await send(port, target, [host], `of-${tenant}`);
          expect([200, 400, 401, 404], target).toContain(answered.status);
          if (answered.status === 200) {
            expect(answered.tenant, target).toBe(tenant);
          }
        }
      }
    }));
});

const oddHosts = [
  ['Host: GLOBEX.example.com'],
  ['Host: globex.example.com.'],
  ['Host: globex.example.com:x'],
  ['Host: globex.example.com:443:443'],
  ['Host: globex.example.com:'],
  ['Host: globex.example.com:443'],
  ['Host: globex.example.com, acme.example.com'],
  ['Host: globex.example.com/x'],
  ['Host: x@globex.example.com'],
  ['Host: globex.example.com', 'Host: acme.example.com'],
  ['Host: acme.example.com', 'Host: globex.example.com'],
  ['Host: acme.example.com', 'X-Forwarded-Host: globex.example.com'],
  ['Host: globex.example.com', 'X-Forwarded-Host: acme.example.com'],
  ['Host: globex.example.com', 'X-Forwarded-Host: globex.example.com, acme.example.com'],
  ['Host: '],
];

describe.each(Object.entries(hostRouters))('issuerByHost() and %s', (_title, create) => {
  it("each tenant's own token reaches its routes", () =>
    serving(create(), async (port) => {
      for (const tenant of tenants) {
        const own = [`Host: ${tenant}.example.com:${port}`];
        expect(await send(port, '/', own, `of-${tenant}`)).toEqual({ status: 200, tenant });
      }
      expect((await send(port, '/', ['Host: acme.example.com'], 'of-globex')).status).toBe(401);
    }));

  it('no odd host lets a token reach the routes of another tenant', () =>
    serving(create(), async (port) => {
      const targets = ['/', 'http://globex.example.com/', 'http://acme.example.com/'];
      for (const [target, hosts] of targets.flatMap((target) =>
        oddHosts.map((hosts) => [target, hosts] as const),
      )) {
        for (const tenant of tenants) {
          const answered = await send(port, target, hosts, `of-${tenant}`);
          expect([200, 400, 401], hosts.join()).toContain(answered.status);
          if (answered.status === 200) {
            expect(answered.tenant, hosts.join()).toBe(tenant);
          }
        }
      }
    }));
});
