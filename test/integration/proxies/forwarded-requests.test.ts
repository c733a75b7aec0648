import { createServer, type IncomingMessage, type RequestListener, request } from 'node:http';
import { nginx, proxyHeader } from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { describe, expect, it } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { frameworks } from '../../support/apis.js';
import { audience } from '../../support/authorization-server.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { useFaultyServer } from '../../support/suites.js';

const secret = 'the-secret-of-this-test-run';
const { pki, server } = await useFaultyServer();
server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));

type Framework = (typeof frameworks)[number];

/** What the page shows for a framework: the middleware that removes the headers. */
function shown(framework: Framework): string {
  const page = textOf('docs/reference/proxies/README.md');
  const [, section = ''] = page.split('## Requests that your API forwards');
  const [, ofExpress = '', ofKoa = ''] =
    /```js\n([\s\S]*?)```[\s\S]*?```js\n([\s\S]*?)```/.exec(section) ?? [];
  const code = framework === 'Express' ? ofExpress : ofKoa;
  expect(code).toContain('delete ');
  return code.replace(/^import .*$/m, '');
}

/** Sends the request on with its headers, as a proxy in Node does, and resolves with the backend's answer. */
function forward(req: IncomingMessage, backend: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const { method, headers } = req;
    const forwarded = request(
      { host: '127.0.0.1', port: backend, method, headers, agent: false },
      async (response) => resolve((await response.setEncoding('utf8').toArray()).join('')),
    );
    req.pipe(forwarded.on('error', reject));
  });
}

function listenerOf(framework: Framework, backend: number, isAsShown: boolean): RequestListener {
  const options: expressMtls.ResourceServerOptions = {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'secret',
    audience,
    http: { ca: pki.ca.cert },
    certificate: proxyHeader(nginx({ verifyHeader: 'x-ssl-client-verify' }), {
      trust: 'loopback',
      secret: { header: 'x-proxy-secret', value: secret },
    }),
  };
  const mount = (app: unknown, requireScopes: unknown): void => {
    if (isAsShown) {
      new Function('app', 'requireScopes', shown(framework))(app, requireScopes);
    }
  };
  if (framework === 'Express') {
    const app = express();
    app.use(expressMtls.mtlsBound(options));
    mount(app, expressMtls.requireScopes);
    // A guard behind it goes by the token that mtlsBound() accepted.
    app.use(expressMtls.requireActive());
    app.use(async (req, res) => {
      res.send(await forward(req, backend));
    });
    return app;
  }
  const app = new Koa<koaMtls.MtlsBoundState>();
  app.use(koaMtls.mtlsBound(options));
  mount(app, koaMtls.requireScopes);
  app.use(koaMtls.requireActive());
  app.use(async (ctx) => {
    ctx.body = await forward(ctx.req, backend);
  });
  return app.callback();
}

describe.each(frameworks)('%s', (framework) => {
  async function namesAtBackend(isAsShown: boolean, headers: Record<string, string> = {}) {
    const backend = createServer((req, res) => res.end(JSON.stringify(Object.keys(req.headers))));
    const api = createServer(listenerOf(framework, await listen(backend), isAsShown));
    const port = await listen(api);
    try {
      const given = {
        Authorization: 'Bearer alice',
        'X-SSL-Client-Cert': encodeURIComponent(pki.alice.cert),
        'X-SSL-Client-Verify': 'SUCCESS',
        'X-Proxy-Secret': secret,
        'X-Report': 'yes',
        ...headers,
      };
      const text = await new Promise<string>((resolve, reject) => {
        request(
          { host: '127.0.0.1', port, path: '/reports', method: 'POST', headers: given, agent: false },
          async (response) => resolve((await response.setEncoding('utf8').toArray()).join('')),
        )
          .on('error', reject)
          .end('body');
      });
      return JSON.parse(text) as string[];
    } finally {
      await close(api);
      await close(backend);
    }
  }

  const secrets = ['authorization', 'x-ssl-client-cert', 'x-ssl-client-verify', 'x-proxy-secret'];

  it('a request that the API forwards as it is has the secret of the proxy, the certificate and the token', async () => {
    expect(await namesAtBackend(false)).toEqual(expect.arrayContaining([...secrets, 'x-report']));
  });

  it('with what the page shows, the backend gets none of them, and the other headers', async () => {
    for (const headers of [{}, { Expect: '100-continue' }, { DPoP: 'a proof' }]) {
      const names = await namesAtBackend(true, headers);
      expect(names).toContain('x-report');
      expect(names.filter((name) => [...secrets, 'dpop'].includes(name))).toEqual([]);
    }
  });
});
