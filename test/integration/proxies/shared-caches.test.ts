import { createServer, type RequestListener } from 'node:http';
import { request } from 'node:https';
import { nginx, proxyHeader } from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { expect, it, vi } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { frameworks } from '../../support/apis.js';
import { audience } from '../../support/authorization-server.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import type { Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { type RealProxy, startProxy } from '../../support/real-proxies.js';
import { useFaultyServer } from '../../support/suites.js';

const secret = 'the-secret-of-this-test-run';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();
server.introspection = (req, res, body) => {
  const name = new URLSearchParams(body).get('token') as keyof Pki;
  answer(200, goodClaims(server.issuer, pki[name].thumbprint))(req, res, body);
};

const options: expressMtls.ResourceServerOptions = {
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: 'secret',
  audience,
  http: { ca: pki.ca.cert },
  certificate: proxyHeader(nginx(), {
    trust: 'loopback',
    secret: { header: 'x-proxy-secret', value: secret },
  }),
};

type Framework = (typeof frameworks)[number];

/** What the page shows for a framework: the default of `Cache-Control`, and `mtlsBound(options)` behind it. */
const shown = (framework: Framework): string => {
  const [, section = ''] = textOf('docs/reference/proxies/README.md').split('## Caches in front of the API');
  const [, express = '', koa = ''] = /```js\n([\s\S]*?)```[\s\S]*?```js\n([\s\S]*?)```/.exec(section) ?? [];
  const code = framework === 'Express' ? express : koa;
  expect(code).toMatch(/'Cache-Control', 'private'[\s\S]*app\.use\(mtlsBound\(options\)\)/);
  return code.replace(/^import .*$/m, '');
};

interface Api {
  readonly framework: Framework;
  /** The API is as the page shows it. Otherwise it has `mtlsBound(options)` alone. */
  readonly isAsShown?: boolean;
  /** The `Cache-Control` that the handler sets. */
  readonly cacheControl?: string | undefined;
  readonly more?: expressMtls.ResourceServerOptions;
}

function listenerOf({ framework, isAsShown, cacheControl, more }: Api): RequestListener {
  const mount = (app: unknown, mtlsBound: unknown): void =>
    new Function('app', 'mtlsBound', 'options', isAsShown ? shown(framework) : 'app.use(mtlsBound(options))')(
      app,
      mtlsBound,
      { ...options, ...more },
    );
  if (framework === 'Express') {
    const app = express();
    mount(app, expressMtls.mtlsBound);
    app.get('/', (req, res) => {
      if (cacheControl !== undefined) {
        res.set('Cache-Control', cacheControl);
      }
      res.json({ client: req.auth?.subject });
    });
    return app;
  }
  const app = new Koa<koaMtls.MtlsBoundState>();
  mount(app, koaMtls.mtlsBound);
  app.use((ctx) => {
    if (cacheControl !== undefined) {
      ctx.set('Cache-Control', cacheControl);
    }
    ctx.body = { client: ctx.state.auth.subject };
  });
  return app.callback();
}

interface Answer {
  readonly status: number | undefined;
  readonly cacheControl: string | undefined;
  readonly cache: string | undefined;
  readonly body: string;
}

describeReal('nginx', 'an NGINX that caches answers', () => {
  /** Calls of the client of the certificate, and then of one without a token and without a certificate. */
  async function callsThrough(
    api: Api,
    location = 'proxy_cache answers;',
  ): Promise<{ granted: Answer; stranger: Answer }> {
    const upstream = createServer(listenerOf(api));
    const port = await listen(upstream);
    let proxy: RealProxy | undefined;
    try {
      proxy = await startProxy({
        program: 'nginx',
        config: 'nginx/nginx.conf',
        pki,
        upstream: port,
        secret,
        replace: {
          'upstream api {': 'proxy_cache_path cache keys_zone=answers:1m;\n  upstream api {',
          'location / {': `location / {\n add_header X-Cache $upstream_cache_status always; ${location}`,
        },
      });
      const granted = await call(proxy.port, true);
      return { granted, stranger: await call(proxy.port, false) };
    } finally {
      await proxy?.close();
      await close(upstream);
    }
  }

  const call = (port: number, isAlice: boolean): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { cert, key } = pki.alice;
      const own = isAlice ? { cert, key, headers: { authorization: 'Bearer alice' } } : {};
      request(
        { host: '127.0.0.1', servername: 'api.example.com', port, ca: pki.ca.cert, agent: false, ...own },
        async (response) => {
          const body = (await response.setEncoding('utf8').toArray()).join('');
          const { 'cache-control': cacheControl, 'x-cache': cache } = response.headers;
          resolve({ status: response.statusCode, cacheControl, cache: cache as string | undefined, body });
        },
      )
        .on('error', reject)
        .end();
    });

  const refused = { status: 401, cacheControl: 'no-store', cache: 'MISS' };

  it.each(frameworks)('%s: gives an answer with max-age to a client without a token', async (framework) => {
    const { granted, stranger } = await callsThrough({ framework, cacheControl: 'max-age=60' });
    expect(granted).toMatchObject({ status: 200, cache: 'MISS' });
    expect(stranger).toEqual({ ...granted, cache: 'HIT' });
  });

  it.each(frameworks)(
    '%s: gives away an answer without Cache-Control too where proxy_cache_valid is set',
    async (framework) => {
      const location = 'proxy_cache answers; proxy_cache_valid 200 1m;';
      const { granted, stranger } = await callsThrough({ framework }, location);
      expect(stranger).toEqual({ ...granted, status: 200, cache: 'HIT' });
    },
  );

  it.each(frameworks)('%s: stores nothing with the default that the page shows', async (framework) => {
    const location = 'proxy_cache answers; proxy_cache_valid any 1m;';
    const { granted, stranger } = await callsThrough({ framework, isAsShown: true }, location);
    expect(granted).toMatchObject({ status: 200, cacheControl: 'private', cache: 'MISS' });
    // The refusal keeps its own header.
    expect(stranger).toMatchObject(refused);
  });

  it.each(frameworks)('%s: stores nothing where the handler itself writes private', async (framework) => {
    const api = { framework, cacheControl: 'private, max-age=60' };
    const { granted, stranger } = await callsThrough(api);
    expect(granted).toMatchObject({ status: 200, cacheControl: api.cacheControl, cache: 'MISS' });
    expect(stranger).toMatchObject(refused);
  });

  it('stores no answer to a request with a token by the directive that the page of NGINX shows', async () => {
    const [, directive = ''] =
      /^\s+(proxy_no_cache .+;)$/m.exec(textOf('docs/reference/proxies/nginx.md')) ?? [];
    expect(directive).toBe('proxy_no_cache $http_authorization;');
    const api = { framework: 'Express', cacheControl: 'max-age=60' } as const;
    const { granted, stranger } = await callsThrough(api, `proxy_cache answers; ${directive}`);
    expect(granted).toMatchObject({ status: 200, cache: 'MISS' });
    expect(stranger).toMatchObject(refused);
  });
});
