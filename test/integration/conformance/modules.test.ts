import { createServer } from 'node:http';
import { Agent, request } from 'node:https';
import { nginx, proxyHeader, type ResourceServerOptions } from '@mtls-bound/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { type FaultyServer, startFaultyServer } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { startProxy } from '../../support/real-proxies.js';
import { type Answer, modules, type Sent, type Setting } from './modules.js';
import { type SignedTokens, startSignedTokens } from './signed-tokens.js';

const secret = 'the-secret-of-this-test-run';
let pki: Pki;
let server: FaultyServer;
let signed: SignedTokens;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  [server, signed] = await Promise.all([startFaultyServer(pki), startSignedTokens(pki)]);
});
afterAll(() => Promise.all([server?.close(), signed?.close()]));
beforeEach(() => {
  server.introspection = (_req, res) => res.writeHead(500).end();
});

type Way = (
  framework: (typeof frameworks)[number],
  options: ResourceServerOptions,
) => Promise<{ port: number; close(): Promise<void> }>;

const direct: Way = (framework, options) => startApi(framework, pki, options);

const throughNginx: Way = async (framework, options) => {
  const certificate = proxyHeader(nginx(), {
    trust: 'loopback',
    secret: { header: 'x-proxy-secret', value: secret },
  });
  const api = createServer(createApi(framework, { ...options, certificate }).listener);
  const upstream = await listen(api);
  const proxy = await startProxy({ program: 'nginx', config: 'nginx/nginx.conf', pki, upstream, secret });
  return {
    port: proxy.port,
    close: async () => {
      await proxy.close();
      await close(api);
    },
  };
};

function setting(framework: (typeof frameworks)[number], way: Way): Setting {
  async function withApi(
    more: ResourceServerOptions | undefined,
    run: (port: number) => Promise<Answer[]>,
  ): Promise<Answer[]> {
    const common = { http: { ca: pki.ca.cert, timeout: 0.5 }, cache: { rejectionMaxAge: 0 } };
    const own = more?.issuer === undefined && {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'secret',
    };
    const api = await way(framework, { audience, ...common, ...own, ...more });
    try {
      return await run(api.port);
    } finally {
      await api.close();
    }
  }
  return {
    pki,
    server,
    signed,
    isDirect: way === direct,
    ask: (requests, more) =>
      withApi(more, async (port) => {
        const answers = [];
        for (const each of requests) {
          answers.push(await send(port, each));
        }
        return answers;
      }),
    askOverOne: (requests, more) =>
      withApi(more, async (port) => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        const answers = [];
        for (const each of requests) {
          answers.push(await send(port, each, agent));
        }
        agent.destroy();
        return answers;
      }),
    askAtOnce: (requests, more) =>
      withApi(more, (port) => Promise.all(requests.map((each) => send(port, each)))),
  };
}

function send(
  port: number,
  { token, scheme = 'Bearer', identity, path = '/', headers = [] }: Sent,
  agent = new Agent(),
): Promise<Answer> {
  const lines = [
    ['Host', 'api.example.com'],
    ...(token === undefined ? [] : [['Authorization', `${scheme} ${token}`]]),
    ...headers,
  ];
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      path,
      servername: 'api.example.com',
      ca: pki.ca.cert,
      cert: identity?.cert,
      key: identity?.key,
      agent,
      headers: lines.flat(),
    };
    request(options as never, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers as never, body }),
      );
    })
      .on('error', reject)
      .end();
  });
}

const named = modules.map((module) => [module.name, module] as const);

describe.each(frameworks)('%s, Node ends TLS', (framework) => {
  it.each(named)('%s', async (_name, { run }) => run(setting(framework, direct)));
});

describeReal('nginx', 'through NGINX', () => {
  describe.each(frameworks)('%s', (framework) => {
    it.each(named)('%s', async (_name, { run }) => run(setting(framework, throughNginx)));
  });
});

it('no two modules have one name', () => {
  expect(new Set(modules.map(({ name }) => name)).size).toBe(modules.length);
});
