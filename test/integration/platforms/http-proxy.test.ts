// The ways through a company's HTTP proxy that docs/reference/http-proxy.md shows, with the real packages and a real CONNECT proxy.
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  type ClientCertificate,
  createResourceServer,
  type HttpOptions,
  type RefusedEvent,
  tlsClientAuth,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { EnvHttpProxyAgent, fetch, ProxyAgent } from 'undici';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { audience } from '../../support/audience.js';
import { goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { outcomeOf, requestWith } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let certificate: ClientCertificate;
let issuer: string;
let proxyPort: number;
/** The hosts that tunnels lead to, and the certificates that the authorization server saw. */
let tunnels: string[];
let presented: (string | undefined)[];
/** Each closes a tunnel. */
let ends: (() => void)[];
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  certificate = (await createTestKit()).certificate;
});
beforeEach(async () => {
  tunnels = [];
  presented = [];
  const server = authorizationServer();
  const proxy = connectProxy();
  issuer = `https://127.0.0.1:${await listen(server)}`;
  proxyPort = await listen(proxy);
  ends = [];
  return async () => {
    for (const end of ends) {
      end();
    }
    await close(server);
    await close(proxy);
  };
});
afterEach(() => vi.unstubAllEnvs());

/** Asks for a certificate, and says in its metadata where tokens are introspected. */
function authorizationServer() {
  const tls = { cert: pki.server.cert, key: pki.server.key, requestCert: true, rejectUnauthorized: false };
  return createTlsServer(tls, (req, res) => {
    const hash = (req.socket as TLSSocket).getPeerX509Certificate()?.fingerprint256.replaceAll(':', '');
    presented.push(hash && Buffer.from(hash, 'hex').toString('base64url'));
    const metadata = {
      issuer,
      introspection_endpoint: `${issuer}/introspect`,
      tls_client_certificate_bound_access_tokens: true,
    };
    const isMetadata = req.url?.startsWith('/.well-known/') === true;
    res
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify(isMetadata ? metadata : goodClaims(issuer, certificate.thumbprint)));
  });
}

function connectProxy(): Server {
  return createServer().on('connect', (req, client) => {
    tunnels.push(req.url ?? '');
    const [host = '', port] = (req.url ?? '').split(':');
    const upstream = connect(Number(port), host, () => client.write('HTTP/1.1 200 OK\r\n\r\n'));
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    ends.push(() => client.destroy());
    client.pipe(upstream).pipe(client);
  });
}

const blocks = [...textOf('docs/reference/http-proxy.md').matchAll(/^```m?js\n([\s\S]*?)^```/gm)];

/** Those that the page imports from. */
const packages: Readonly<Record<string, () => Promise<Record<string, unknown>>>> = {
  hpagent: () => import('hpagent'),
  'https-proxy-agent': () => import('https-proxy-agent'),
  undici: () => import('undici'),
};

/** The options `http` of the block that has these words, with the proxy of the test. */
async function shown(words: string): Promise<HttpOptions> {
  const [, code = ''] = blocks.find(([, text]) => text?.includes(words)) ?? expect.fail(words);
  const [line = ''] = /^import .*$/m.exec(code) ?? [];
  const [, name = '', from = ''] = /^import \{ ([\w, ]+) \} from '([^']+)'/.exec(line) ?? [];
  const body = code.replace(line, '').replaceAll('http://127.0.0.1:3128', proxy());
  const run = new Function(...name.split(', '), 'mtlsBound', 'readFileSync', ...surroundings, body);
  const module = (await packages[from]?.()) ?? expect.fail(from);
  let http: HttpOptions = {};
  run(
    ...name.split(', ').map((each) => module[each]),
    (options: { http: HttpOptions }) => {
      http = options.http;
    },
    () => pki.ca.cert,
  );
  return http;
}
const surroundings = ['issuer', 'audience', 'clientAuthentication', 'clientId', 'clientSecret'];
const proxy = () => `http://127.0.0.1:${proxyPort}`;

async function outcomeWith(http: HttpOptions, isByCertificate: boolean): Promise<string> {
  const server = createResourceServer({
    issuer,
    clientId: 'api',
    ...(isByCertificate
      ? { clientAuthentication: tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key }) }
      : { clientSecret: 'a-secret' }),
    audience,
    certificate: () => certificate,
    http: { timeout: 20, ...http },
  });
  try {
    return await outcomeOf(() => server.authorize(requestWith('token')));
  } finally {
    await server.close();
  }
}
const tunnelled = () => [...new Set(tunnels)];

describe('with an agent', () => {
  it.each(["from 'hpagent'", "from 'https-proxy-agent'"])(
    'shown with an import %s: http.ca and our certificate reach the server through the tunnel',
    async (words) => {
      const http = { ...(await shown(words)), ca: pki.ca.cert };
      expect(await outcomeWith(http, true)).toBe('admitted');
      expect(tunnelled()).toEqual([new URL(issuer).host]);
      expect(presented.at(-1)).toBe(pki.alice.thumbprint);
    },
  );

  it('https-proxy-agent without these lines: the refusal says that the agent may not pass http.ca on', async () => {
    const agent = (given: object) => new HttpsProxyAgent(proxy(), given) as never;
    expect(await outcomeWith({ agent, ca: pki.ca.cert }, false)).toBe('authorization_server_unreachable');
    expect(refused.at(-1)?.refusal.detail).toContain('the agent from http.agent may not pass it on');
    expect(presented).toEqual([]);
  });
});

describe('with undici', () => {
  it('EnvHttpProxyAgent as shown goes by HTTPS_PROXY', async () => {
    vi.stubEnv('HTTPS_PROXY', proxy());
    expect(await outcomeWith(await shown("from 'undici'"), false)).toBe('admitted');
    expect(tunnelled()).toEqual([new URL(issuer).host]);
  });

  it.each([
    ['ProxyAgent', () => new ProxyAgent({ uri: proxy(), requestTls: { ca: pki.ca.cert } }), 'admitted'],
    ['ProxyAgent without the authorities', () => new ProxyAgent(proxy()), 'authorization_server_unreachable'],
    [
      'EnvHttpProxyAgent and NO_PROXY, which leads past the proxy',
      () =>
        new EnvHttpProxyAgent({ httpsProxy: proxy(), noProxy: '127.0.0.1', connect: { ca: pki.ca.cert } }),
      'admitted',
    ],
  ])('%s', async (name, make, outcome) => {
    const dispatcher = make();
    const http = {
      fetch: ((url: string, request: object) => fetch(url, { ...request, dispatcher })) as never,
    };
    expect(await outcomeWith(http, false)).toBe(outcome);
    expect(tunnelled()).toEqual(name.includes('NO_PROXY') ? [] : [new URL(issuer).host]);
    await dispatcher.close();
  });
});

describe('HTTPS_PROXY in the environment, and no agent', () => {
  it.each(['HTTPS_PROXY', 'https_proxy'])('%s is not used', async (variable) => {
    vi.stubEnv(variable, proxy());
    expect(await outcomeWith({ ca: pki.ca.cert }, false)).toBe('admitted');
    expect(tunnelled()).toEqual([]);
  });

  it.each([
    ['HTTPS_PROXY', true],
    ['MTLS_BOUND_NONE', false],
  ])('a refusal for want of a connection names it where it is set: %s', async (variable, isNamed) => {
    vi.stubEnv('HTTPS_PROXY', undefined);
    vi.stubEnv('https_proxy', undefined);
    vi.stubEnv(variable, 'http://user:password@127.0.0.1:1');
    const closed = createServer();
    const port = await listen(closed);
    await close(closed);
    issuer = `https://127.0.0.1:${port}`;
    expect(await outcomeWith({ ca: pki.ca.cert }, false)).toBe('authorization_server_unreachable');
    const { detail = '' } = refused.at(-1)?.refusal ?? {};
    expect(detail.includes('HTTPS_PROXY is set in the environment, and not used: set http.agent')).toBe(
      isNamed,
    );
    expect(detail).not.toContain('password');
  });
});
