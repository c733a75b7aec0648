// Tools for tests and for functions in a cloud call an application with requests that no server read: their socket is a plain object,
// or there is none. What such an object says of itself is no proof of a certificate.
import { EventEmitter } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { nginx, proxyHeader, type RefusedEvent, type ResourceServerOptions } from '@mtls-bound/core';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const ended = vi.fn();
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  ended.mockClear();
  process.on('unhandledRejection', ended).on('uncaughtException', ended);
});
afterEach(() => {
  process.off('unhandledRejection', ended).off('uncaughtException', ended);
  expect(ended).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

/** The answer of an application to a request that no server read. */
async function injected(
  framework: (typeof frameworks)[number],
  options: ResourceServerOptions,
  socket: object | undefined,
  headers: Record<string, string> = {},
  lacking?: string,
): Promise<{ status: number; handled: number }> {
  const api = createApi(framework, options);
  const req = new IncomingMessage(new Socket());
  const all = { authorization: 'Bearer token', host: 'api', ...headers };
  Object.assign(req, { method: 'GET', url: '/', httpVersion: '1.1', httpVersionMajor: 1, headers: all });
  req.rawHeaders.push(...Object.entries(all).flat());
  for (const name of ['socket', 'connection']) {
    Object.defineProperty(req, name, { value: socket, configurable: true });
  }
  const res = new ServerResponse(req);
  const finished = new Promise<void>((resolve) => {
    res.end = ((..._given: unknown[]) => {
      resolve();
      return res;
    }) as never;
  });
  if (lacking !== undefined) {
    Object.defineProperty(req, lacking, { value: undefined });
  }
  api.listener(req, res);
  await finished;
  return { status: res.statusCode, handled: api.handled() };
}

const good = () => pretendServer(() => boundClaims(pki.alice));
const ownTls = (): ResourceServerOptions => {
  const { certificate: _, ...options } = optionsOver(good(), undefined);
  return options;
};
const throughProxy = (trust: string[]): ResourceServerOptions =>
  optionsOver(good(), undefined, { certificate: proxyHeader(nginx(), { trust }) });
const header = () => ({ 'x-ssl-client-cert': encodeURIComponent(pki.alice.cert) });

const sockets: [string, () => object | undefined][] = [
  ['none', () => undefined],
  ['an empty object', () => ({})],
  ['an object without a prototype', () => Object.create(null)],
  [
    'an object with an address, as light-my-request makes it',
    () => Object.assign(new EventEmitter(), { remoteAddress: '192.0.2.7', destroy: () => undefined }),
  ],
  ['a connection that was never opened', () => new Socket()],
  ['an object that says encrypted, and has no certificate', () => ({ encrypted: true, authorized: true })],
  [
    'an object that says encrypted and TLS 1.3',
    () => ({
      encrypted: true,
      authorized: true,
      getProtocol: () => 'TLSv1.3',
      getPeerX509Certificate: () => undefined,
    }),
  ],
];

describe.each(frameworks)('%s', (framework) => {
  it.each(sockets)(
    'a socket that is %s is refused, with the cause, and no handler runs',
    async (_title, socket) => {
      const { status, handled } = await injected(framework, ownTls(), socket());
      expect([status >= 400, handled]).toEqual([true, 0]);
      const [event] = refused.slice(-1);
      expect([event?.refusal.code, event?.refusal.detail ?? event?.explanation.hint]).toEqual([
        expect.stringMatching(/^(certificate_missing|tls_unsuitable|internal_error)$/),
        expect.any(String),
      ]);
    },
  );

  it.each(sockets)('behind a proxy, a socket that is %s: its header is not read', async (_title, socket) => {
    for (const trust of [['127.0.0.1'], ['loopback', 'unix']]) {
      const { status, handled } = await injected(framework, throughProxy(trust), socket(), header());
      expect([status, handled]).toEqual([401, 0]);
      expect(refused.at(-1)?.refusal.code).toBe('certificate_missing');
      expect(refused.at(-1)?.explanation.hint).toEqual(expect.any(String));
    }
  });

  it.each(['headers', 'rawHeaders'])(
    'a request without %s: 503 that says so, and no handler runs',
    async (name) => {
      const { status, handled } = await injected(framework, throughProxy(['loopback']), {}, header(), name);
      expect([status, handled]).toEqual([503, 0]);
      expect(refused.at(-1)?.refusal.detail).toContain('the request has no headers or no rawHeaders');
    },
  );

  it('a member of the socket that throws: 503, and no handler runs', async () => {
    const socket = new Proxy(
      {},
      {
        get: () => {
          throw new Error('of the stand-in');
        },
      },
    );
    for (const options of [ownTls(), throughProxy(['loopback', 'unix'])]) {
      const { status, handled } = await injected(framework, options, socket, header());
      expect([status, handled]).toEqual([503, 0]);
    }
  });
});
