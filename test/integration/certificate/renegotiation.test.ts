// TLS 1.2 lets either side begin another handshake: requests that are read after that are refused.
import { constants } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { createServer } from 'node:https';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { Duplex } from 'node:stream';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import type { RefusedEvent } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { openConnection } from '../../support/calls.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let kit: TestKit;
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
beforeAll(async () => {
  [pki, kit] = await Promise.all([createPki(), createTestKit()]);
});

const head = (path: string, lines = '') => `GET ${path} HTTP/1.1\r\nHost: api.example.com\r\n${lines}\r\n`;
const withToken = () => {
  const token = kit.boundToken({ claims: { cnf: { 'x5t#S256': pki.aliceEc.thumbprint } } });
  return head('/', `Authorization: Bearer ${token}\r\n`);
};

/** Makes another handshake on the connection. */
function renegotiate(socket: TLSSocket, options: { requestCert?: boolean } = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.renegotiate({ rejectUnauthorized: false, ...options }, (error) =>
      error === null || error === undefined ? resolve() : reject(error),
    );
  });
}

describe.each(frameworks)('%s: over TLS 1.2', (framework) => {
  let api: TestApi;
  let client: TLSSocket;
  let served: TLSSocket;
  let slow: ServerResponse | undefined;
  let statuses: string[];

  async function start(
    tls: SecureContextOptions & TlsOptions,
    onConnection: (socket: TLSSocket) => void = () => undefined,
  ): Promise<void> {
    const { certificate: _, ...options } = kit.options;
    const { listener, handled } = createApi(framework, options);
    const server = createServer({ ...mutualTls(pki), maxVersion: 'TLSv1.2', ...tls }, (req, res) => {
      if (req.url === '/slow') {
        slow = res;
      } else if (req.url === '/big') {
        res.end('x'.repeat(100_000));
      } else {
        listener(req, res);
      }
    });
    server.on('secureConnection', (socket) => {
      served = socket;
      onConnection(socket);
    });
    api = await serve(server, handled);
    client = await openConnection(pki, api, pki.aliceEc, { maxVersion: 'TLSv1.2' });
    statuses = [];
    client.setEncoding('latin1').on('data', (text: string) => {
      statuses.push(...Array.from(text.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => String(status)));
    });
    await vi.waitFor(() => expect(served).toBeDefined());
  }
  afterEach(async () => {
    client?.destroy();
    await api?.close();
  });

  async function answered(expected: readonly string[]): Promise<void> {
    await vi.waitFor(() => expect(statuses).toHaveLength(expected.length), { timeout: 5_000 });
    expect(statuses).toEqual(expected);
  }

  it('requests after a renegotiation are refused, and the refusal says what to do', async () => {
    await start({});
    client.write(withToken());
    await answered(['200']);
    await renegotiate(client);
    client.write(withToken());
    await answered(['200', '400']);
    client.write(withToken());
    await answered(['200', '400', '400']);
    expect(api.handled()).toBe(1);
    expect(refused.map(({ refusal }) => refusal.message)).toEqual(
      Array(2).fill(
        expect.stringMatching(/^tls_unsuitable: another TLS 1.2 handshake .*SSL_OP_NO_RENEGOTIATION/),
      ),
    );
  });

  it('a certificate that the server asks for by renegotiation does not count', async () => {
    // Otherwise the second handshake resumes the session of the first, which has no certificate.
    await start({
      requestCert: false,
      secureOptions: constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION,
    });
    client.write(withToken());
    await answered(['401']);
    await renegotiate(served, { requestCert: true });
    expect(served.getPeerX509Certificate()?.raw.equals(pki.aliceEc.der)).toBe(true);
    client.write(withToken());
    await answered(['401', '400']);
    expect(api.handled()).toBe(0);
  });

  // With a listener on the connection, Node keeps what it decrypts while HTTP does not read, and the TLS layer goes on.
  describe.each<[string, () => Promise<void>, string]>([
    ['no handshake runs meanwhile', () => Promise.resolve(), '200'],
    ['another handshake runs meanwhile', () => renegotiate(client), '400'],
  ])('a request whose head waits, %s', (_title, meanwhile, expected) => {
    it('behind answers that wait for a slow one', async () => {
      await start({}, (socket) => socket.on('data', () => undefined));
      client.write(withToken());
      await answered(['200']);
      client.write(head('/slow') + head('/big') + head('/big'));
      await vi.waitFor(() => expect(served.isPaused()).toBe(true));
      client.write(withToken());
      await vi.waitFor(() => expect(served.readableLength).toBeGreaterThan(0));
      await meanwhile();
      slow?.end();
      await answered(['200', '200', '200', '200', expected]);
      expect(api.handled()).toBe(expected === '200' ? 2 : 1);
    });

    it('behind an application that pauses the new connection', async () => {
      await start({}, (socket) => socket.on('data', () => undefined).pause());
      client.write(withToken());
      await vi.waitFor(() => expect(served.readableLength).toBeGreaterThan(0));
      await meanwhile();
      served.resume();
      await answered([expected]);
      expect(api.handled()).toBe(expected === '200' ? 1 : 0);
    });
  });
});

// Express does not run on http2.
describe('Koa: HTTP/2 over TLS 1.2, a request that waits in a connection that the application hands over later', () => {
  it.each([
    ['no handshake runs meanwhile', false],
    ['another handshake begins meanwhile', true],
  ])('%s', async (_title, isRenegotiating) => {
    const { certificate: _, ...options } = kit.options;
    const { listener, handled } = createApi('Koa', options);
    const http2 = createHttp2Server(listener as never);
    let served: TLSSocket | undefined;
    const tls = {
      ...mutualTls(pki),
      maxVersion: 'TLSv1.2',
      ALPNProtocols: ['h2'],
      secureOptions: constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION,
    } as const;
    const server = createTlsServer(tls, (socket) => {
      // With a listener on the connection, Node decrypts what comes and keeps it.
      served = socket.on('data', () => undefined).pause();
    });
    const link = await startLink(await listen(server));
    const client = await openConnection(pki, link, pki.aliceEc, { ALPNProtocols: ['h2'] });
    // HTTP/2 would not let its client begin another handshake: it gets the bytes alone.
    const bytes = Duplex.from({ readable: client, writable: client }).on('error', () => undefined);
    const session = connectHttp2('https://api.example.com', { createConnection: () => bytes });
    session.on('error', () => undefined);
    try {
      const token = kit.boundToken({ claims: { cnf: { 'x5t#S256': pki.aliceEc.thumbprint } } });
      session.request({ ':path': '/', authorization: `Bearer ${token}` }).on('error', () => undefined);
      await vi.waitFor(() => expect(served?.readableLength).toBeGreaterThan(token.length / 2));
      if (isRenegotiating) {
        // The server gets the certificate, and never the proof that the client has its key.
        const passed = link.passOneRecordOfTheAnswer();
        renegotiate(client).catch(() => undefined);
        await passed;
        await vi.waitFor(() => expect(served?.getPeerX509Certificate()).toBeDefined());
      }
      http2.emit('connection', served);
      await vi.waitFor(() => expect(handled() + refused.length).toBe(1));
      expect(refused.map(({ refusal }) => refusal.message)).toEqual(
        isRenegotiating ? [expect.stringMatching(/^tls_unsuitable: another TLS 1.2 handshake began/)] : [],
      );
    } finally {
      session.destroy();
      client.destroy();
      served?.destroy();
      await Promise.all([link.close(), close(server)]);
    }
  });

  /** Carries the bytes of one connection. */
  async function startLink(port: number) {
    const far = connectTcp(port, '127.0.0.1');
    let pass = (chunk: Buffer): unknown => far.write(chunk);
    const link = createTcpServer((near) => {
      near.on('data', (chunk) => pass(chunk));
      far.on('data', (chunk) => near.write(chunk));
      for (const end of [near, far]) {
        end.on('error', () => undefined).on('close', () => near.destroy() && far.destroy());
      }
    });
    return {
      port: await listen(link),
      /** Lets one message of the client through, and the first TLS record of what it sends next, then nothing. */
      passOneRecordOfTheAnswer: () =>
        new Promise<void>((resolve) => {
          pass = (hello) => {
            far.write(hello);
            pass = (flight) => {
              pass = () => undefined;
              far.write(flight.subarray(0, 5 + flight.readUInt16BE(3)), () => resolve());
            };
          };
        }),
      close: () => close(link),
    };
  }
});
