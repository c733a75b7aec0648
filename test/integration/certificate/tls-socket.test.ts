import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer as createPlainServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import { Agent } from 'node:https';
import type { TLSSocket } from 'node:tls';
import {
  createResourceServer,
  type ProblemEvent,
  type ResourceServerOptions,
  tlsSocket,
} from '@mtls-bound/core';
import supertest from 'supertest';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, startApi, type TestApi } from '../../support/apis.js';
import { audience, testClients } from '../../support/authorization-server.js';
import { call, callOver, openConnection } from '../../support/calls.js';
import { http2Request } from '../../support/http2-stand-in.js';
import { close, listen } from '../../support/loopback.js';
import type { Identity } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useAuthorizationServer } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

const clients = testClients(pki);
const [token, bobsToken] = await Promise.all([server.token(clients.alice), server.token(clients.bob)]);

const options = (): ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: server.secrets.api,
  audience,
  http: { ca: pki.ca.cert },
});

describe.each(frameworks)('%s', (framework) => {
  let api: TestApi;
  beforeAll(async () => {
    api = await startApi(framework, pki, options());
  });
  afterAll(() => api?.close());

  const status = async (identity: Identity | undefined, of = token) =>
    (await call(pki, api, '/', identity).auth(of, { type: 'bearer' })).status;

  it('R1: a certificate in a header is not looked at', async () => {
    const response = await call(pki, api, '/', pki.bob)
      .auth(token, { type: 'bearer' })
      .set('Client-Cert', `:${pki.alice.der.toString('base64')}:`)
      .set('X-SSL-Client-Cert', encodeURIComponent(pki.alice.cert));
    expect(response.status).toBe(401);
  });

  it('R5: a renewed certificate of the same key and name is another certificate', async () => {
    expect(await status(pki.alice)).toBe(200);
    expect(await status(pki.aliceRenewed)).toBe(401);
  });

  it('R20: an expired certificate is compared like any other', async () => {
    expect(await status(pki.expired)).toBe(401);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'R25 R26: %s, a full handshake and a resumed session',
    async (version) => {
      const versions = { minVersion: version, maxVersion: version } as const;
      const session = await sessionOf(pki.alice, versions);
      // The client offers a certificate no more, as most do not on resumption: the session still carries it.
      const socket = await openConnection(pki, api, undefined, { ...versions, session });
      expect(socket.isSessionReused()).toBe(true);
      expect(socket.getProtocol()).toBe(version);
      expect(await statusOver(socket, token)).toBe(200);
    },
  );

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'R26: %s, a resumed session without certificate has none',
    async (version) => {
      const versions = { minVersion: version, maxVersion: version } as const;
      const session = await sessionOf(undefined, versions);
      const socket = await openConnection(pki, api, undefined, { ...versions, session });
      expect(socket.isSessionReused()).toBe(true);
      expect(await statusOver(socket, token)).toBe(401);
    },
  );

  async function sessionOf(identity: Identity | undefined, versions: object): Promise<Buffer> {
    // TLS 1.3 sends its tickets after the handshake, TLS 1.2 within it.
    const sessions: Buffer[] = [];
    const socket = await openConnection(pki, api, identity, versions, (session) => sessions.push(session));
    expect(await statusOver(socket, token)).toBe(identity === undefined ? 401 : 200);
    return sessions.at(-1) as Buffer;
  }

  async function statusOver(socket: TLSSocket, of: string): Promise<number> {
    // Not ended here: a server may drop a connection that its client has ended before it knows the token.
    socket.write(`GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${of}\r\n\r\n`);
    const answer = (await socket.setEncoding('latin1').toArray()).join('');
    return Number(answer.split(' ')[1]);
  }

  it('R28: every request on a kept-alive connection is checked', async () => {
    const agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      ca: pki.ca.cert,
      cert: pki.alice.cert,
      key: pki.alice.key,
    });
    const statuses = [];
    for (const of of [token, bobsToken, token]) {
      statuses.push((await callOver({ agent }, api.url, of)).status);
    }
    expect(statuses).toEqual([200, 401, 200]);
    agent.destroy();
  });

  it('plain HTTP lets nothing pass and says once that proxyHeader is what the user wants', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const { listener, handled } = createApi(framework, options());
    const plain = createPlainServer(listener);
    const port = await listen(plain);
    try {
      for (let i = 0; i < 3; i += 1) {
        const response = await supertest(`http://127.0.0.1:${port}`).get('/').auth(token, { type: 'bearer' });
        expect(response.status).toBe(401);
      }
      expect(handled()).toBe(0);
      expect(warning).toHaveBeenCalledTimes(1);
      expect(warning.mock.calls[0]?.[0]).toMatch(/plain HTTP.*proxyHeader/);
    } finally {
      warning.mockRestore();
      await close(plain);
    }
  });
});

// Express does not run on http2. Koa and the core do.
describe.each(['Koa', 'the core alone'] as const)('http2, its compatibility API, with %s', (framework) => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'R27: %s, right, wrong and no certificate, two streams each',
    async (version) => {
      const listener = framework === 'Koa' ? createApi('Koa', options()).listener : coreListener();
      const h2 = createSecureServer(mutualTls(pki), listener as never);
      const port = await listen(h2 as never);
      const statuses = async (identity: Identity | undefined, headers: Record<string, string>) => {
        const client = connectHttp2(`https://127.0.0.1:${port}`, {
          ca: pki.ca.cert,
          cert: identity?.cert,
          key: identity?.key,
          maxVersion: version,
        });
        const seen = [];
        for (let i = 0; i < 2; i += 1) {
          const stream = client.request({ ':path': '/', ...headers });
          const [response] = (await once(stream, 'response')) as [{ ':status': number }];
          seen.push(response[':status']);
          stream.resume();
          await once(stream, 'close');
        }
        client.close();
        return seen;
      };
      const authorization = { authorization: `Bearer ${token}` };
      try {
        expect(await statuses(pki.alice, authorization)).toEqual([200, 200]);
        expect(await statuses(pki.bob, authorization)).toEqual([401, 401]);
        expect(await statuses(undefined, authorization)).toEqual([401, 401]);
        expect(await statuses(pki.alice, {})).toEqual([401, 401]);
      } finally {
        h2.close();
      }
    },
  );

  function coreListener() {
    const resourceServer = createResourceServer(options());
    return async (req: IncomingMessage, res: ServerResponse) => {
      try {
        await resourceServer.authorize(req);
        res.writeHead(200).end();
      } catch (thrown) {
        const { status, headers, body } = resourceServer.answer(thrown, req);
        res.writeHead(status, headers).end(body);
      }
    };
  }
});

describe('the source alone', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** A request over TLS 1.3, where the connection says nothing else, as Node announces it. */
  const request = (given: object | undefined): IncomingMessage => {
    if (given === undefined) {
      return { socket: undefined } as unknown as IncomingMessage;
    }
    const socket = 'getProtocol' in given ? given : Object.assign(given, { getProtocol: () => 'TLSv1.3' });
    const req = { socket } as unknown as IncomingMessage;
    channel('http.server.request.start').publish({ request: req, socket });
    return req;
  };

  /** What a connection over TLS 1.2 says while it has had one handshake. */
  const firstHandshake = {
    getProtocol: () => 'TLSv1.2',
    getFinished: () => Buffer.from('first'),
    _handle: { handshakes: 0 },
  };

  it.each<[string, object]>([
    ['TLS 1.3', { getProtocol: () => 'TLSv1.3' }],
    ['TLS 1.2', firstHandshake],
  ])('hashes a connection once in a handshake: %s', (_title, handshake) => {
    const socket = {
      encrypted: true,
      ...handshake,
      getPeerX509Certificate: vi.fn(() => ({ raw: pki.alice.der })),
    };
    const first = tlsSocket()(request(socket));
    expect(first?.thumbprint).toBe(pki.alice.thumbprint);
    // Another middleware, another source: the same connection, the same object.
    expect(tlsSocket()(request(socket))).toBe(first);
    expect(socket.getPeerX509Certificate).toHaveBeenCalledTimes(1);
  });

  it.each<[string, object, boolean]>([
    ['every handshake was good', { authorized: true, authorizationError: null }, true],
    ['the only handshake was good', { authorized: true }, true],
    [
      'a later handshake was not, which Node tells by the error alone',
      { authorized: true, authorizationError: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
      false,
    ],
    ['none was good', { authorized: false, authorizationError: 'DEPTH_ZERO_SELF_SIGNED_CERT' }, false],
    ['the connection does not say', {}, false],
    ['the connection says something else', { authorized: 'yes' }, false],
  ])('a certificate counts as verified: %s', (_title, verdict, expected) => {
    const socket = { encrypted: true, getPeerX509Certificate: () => ({ raw: pki.alice.der }), ...verdict };
    expect(tlsSocket()(request(socket))?.verified).toBe(expected);
  });

  it('over TLS 1.2 a request that Node does not announce is refused', () => {
    const socket = {
      encrypted: true,
      ...firstHandshake,
      getPeerX509Certificate: () => ({ raw: pki.alice.der }),
    };
    expect(() => tlsSocket()({ socket } as never)).toThrow('tls_unsuitable');
  });

  it('over TLS 1.2 a request whose connection throws when it begins is refused, and nothing else happens', () => {
    const uncaught = vi.fn();
    process.once('uncaughtException', uncaught);
    const source = tlsSocket();
    const req = request({
      encrypted: true,
      ...firstHandshake,
      getPeerX509Certificate: () => {
        throw new Error('the handle has gone');
      },
    });
    expect(() => source(req)).toThrow('tls_unsuitable');
    return new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      process.off('uncaughtException', uncaught);
      expect(uncaught).not.toHaveBeenCalled();
    });
  });

  it('over TLS 1.2 the certificate of the moment when the request began counts, whatever comes later', () => {
    const socket = {
      encrypted: true,
      ...firstHandshake,
      _handle: { handshakes: 0 },
      getPeerX509Certificate: vi.fn(() => ({ raw: pki.alice.der })),
    };
    const source = tlsSocket();
    const req = request(socket);
    // The client sends another certificate in a handshake that it never ends.
    socket._handle.handshakes = 1;
    socket.getPeerX509Certificate.mockReturnValue({ raw: pki.bob.der });
    expect(source(req)?.thumbprint).toBe(pki.alice.thumbprint);
    expect(() => source(request(socket))).toThrow(/tls_unsuitable: another TLS 1.2 handshake began/);
  });

  it.each<[string, object]>([
    ['another handshake began', { _handle: { handshakes: 1 } }],
    ['it can not say how many handshakes it had', { _handle: {} }],
    ['its number of handshakes is no number', { _handle: { handshakes: '0' } }],
    ['it is closed', { _handle: null }],
    ['it has no handle', { _handle: undefined }],
    ['its Finished message is another one', { getFinished: () => Buffer.from('second') }],
    ['it has no Finished message any more', { getFinished: () => null }],
  ])('over TLS 1.2 a connection that had a certificate is refused: %s', (_title, now) => {
    const source = tlsSocket();
    const socket = {
      encrypted: true,
      ...firstHandshake,
      getPeerX509Certificate: () => ({ raw: pki.alice.der }),
    };
    expect(source(request(socket))?.thumbprint).toBe(pki.alice.thumbprint);
    expect(() => source(request(Object.assign(socket, now)))).toThrow('tls_unsuitable');
  });

  it.each([
    ['undefined', () => undefined],
    ['false', () => false],
    ['null', () => null],
    ['an empty certificate', () => ({ raw: Buffer.alloc(0) })],
  ])(
    'R194: a connection that gives %s, as one does whose client has gone, has no certificate',
    (_title, get) => {
      expect(tlsSocket()(request({ encrypted: true, getPeerX509Certificate: get }))).toBeUndefined();
    },
  );

  it.each<[string, object, boolean]>([
    ['TLS 1.2, one handshake', { _handle: { handshakes: 0 } }, true],
    ['TLS 1.2, another handshake', { _handle: { handshakes: 1 } }, false],
    ['TLS 1.2, a count that is not a number', { _handle: { handshakes: '0' } }, false],
    ['TLS 1.2, no count', { _handle: {} }, false],
    ['TLS 1.2, a connection that is closed', { _handle: null }, false],
    ['TLS 1.2, a connection that hides its handle', {}, false],
    ['TLS 1.3, a connection that hides its handle', { getProtocol: () => 'TLSv1.3' }, true],
    ['no version', { getProtocol: () => null }, false],
  ])('an http2 stream has a certificate only after one handshake: %s', (_title, says, expected) => {
    const getPeerX509Certificate = () => ({ raw: pki.alice.der });
    const socket = { encrypted: true, getProtocol: () => 'TLSv1.2', getPeerX509Certificate, ...says };
    const read = () => tlsSocket()(http2Request({ socket }))?.thumbprint;
    if (expected) {
      expect(read()).toBe(pki.alice.thumbprint);
    } else {
      expect(read).toThrow('tls_unsuitable');
    }
  });

  it('R194: an http2 stream whose session has gone has no certificate', () => {
    expect(tlsSocket()(http2Request(undefined))).toBeUndefined();
  });

  it('a certificate shown as JSON shows its thumbprint alone', () => {
    const socket = { encrypted: true, getPeerX509Certificate: () => ({ raw: pki.alice.der }) };
    const certificate = tlsSocket()(request(socket));
    expect(JSON.parse(JSON.stringify(certificate))).toEqual({ thumbprint: pki.alice.thumbprint });
    expect(Object.isFrozen(certificate)).toBe(true);
    expect(certificate?.x509.subject).toBe('CN=alice\nO=Example');
  });

  it('is of the connection itself, and a connection that cannot say has no certificate', () => {
    const source = tlsSocket();
    expect([source.fromConnection, source.header, source.knowsVerified]).toEqual([
      true,
      undefined,
      undefined,
    ]);
    const getPeerX509Certificate = () => undefined;
    expect(source(request({ encrypted: true, getPeerX509Certificate }))).toBeUndefined();
  });

  it.each([
    ['one that says it is encrypted', { encrypted: true }],
    ['a plain one', { remoteAddress: '127.0.0.1' }],
  ])('a connection that no server of Node accepted is trouble of the operator: %s', (_title, socket) => {
    expect(() => tlsSocket()(request(socket))).toThrow(
      'the request came over no connection of a Node server',
    );
  });

  it('plain HTTP is told once as a warning and each time as an event', () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const source = tlsSocket();
    source(request({ encrypted: false, server: {} }));
    source(request({ server: {} }));
    const message =
      'A request came over plain HTTP, so it has no client certificate. Where a proxy ends TLS, say which header ' +
      "hands the certificate on: mtlsBound({ certificate: proxyHeader(nginx(), { trust: ['10.0.0.5'] }) }). " +
      'Where Node ends TLS, use https.createServer with requestCert: true.';
    expect(problems).toEqual(Array(2).fill({ code: 'plain_http', message }));
    expect(warning.mock.calls).toEqual([
      [message, { type: 'MtlsBoundWarning', code: 'MTLS_BOUND_PLAIN_HTTP' }],
    ]);
  });

  const plain =
    'the request came over plain HTTP; where a proxy ends TLS, set the option certificate to proxyHeader(...)';
  const none =
    'the client sent none: it is set up without one, or the server does not ask (requestCert: true)';
  it.each<[string, object | undefined, string]>([
    ['plain HTTP', {}, plain],
    ['a connection that has gone', undefined, plain],
    ['TLS', { encrypted: true, isSessionReused: () => false }, none],
    ['TLS that cannot say whether its session was resumed', { encrypted: true }, none],
    [
      'a resumed session',
      { encrypted: true, isSessionReused: () => true },
      'the TLS session was resumed and has no certificate: the client made the first one without',
    ],
  ])('the hint where there is no certificate: %s', (_title, socket, hint) => {
    expect(tlsSocket().explainMissing?.(request(socket as object))?.text).toBe(hint);
  });
});
