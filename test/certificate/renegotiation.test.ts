// TLS 1.2 lets a client renegotiate with another certificate: the one of the present handshake counts.
import { constants, X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import type { SecureContextOptions, TLSSocket, TlsOptions } from 'node:tls';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createApi, frameworks, mutualTls, serve, type TestApi } from '../support/apis.js';
import { openConnection } from '../support/calls.js';
import { createPki, type Identity, type Pki } from '../support/pki.js';

let pki: Pki;
let kit: TestKit;
beforeAll(async () => {
  [pki, kit] = await Promise.all([createPki(), createTestKit()]);
});

const tokenOf = (identity: Identity) =>
  kit.boundToken({ claims: { cnf: { 'x5t#S256': identity.thumbprint } } });

/** The status of a request over the connection, which stays open. */
function status(socket: TLSSocket, token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const hear = (chunk: Buffer) => {
      answer += chunk;
      const [head, body] = answer.split('\r\n\r\n');
      const length = /content-length: (\d+)/i.exec(head ?? '')?.[1];
      if (body !== undefined && (length === undefined || Buffer.byteLength(body) >= Number(length))) {
        socket.off('data', hear);
        resolve(Number(answer.split(' ')[1]));
      }
    };
    socket.on('data', hear).once('error', reject);
    socket.write(`GET / HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  });
}

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
  let served: TLSSocket;

  async function start(tls: SecureContextOptions & TlsOptions): Promise<void> {
    const { certificate: _, ...options } = kit.options;
    const { listener, handled } = createApi(framework, options);
    const server = createServer({ ...mutualTls(pki), maxVersion: 'TLSv1.2', ...tls }, listener);
    server.on('secureConnection', (socket) => {
      served = socket;
    });
    api = await serve(server, handled);
  }
  afterEach(() => api?.close());

  it('after a renegotiation the present certificate counts, and the first one no more', async () => {
    await start({});
    const [alices, bobs] = [tokenOf(pki.aliceEc), tokenOf(pki.selfSignedEc)];
    const socket = await openConnection(pki, api, pki.aliceEc, { maxVersion: 'TLSv1.2' });
    try {
      expect([await status(socket, alices), await status(socket, bobs)]).toEqual([200, 401]);
      // No client of Node's shows another certificate in the second handshake: what the server reads of it stands in for that.
      served.getPeerX509Certificate = () => new X509Certificate(pki.selfSignedEc.der);
      expect([await status(socket, alices), await status(socket, bobs)]).toEqual([200, 401]);
      await renegotiate(socket);
      expect([await status(socket, alices), await status(socket, bobs)]).toEqual([401, 200]);
      served.getPeerX509Certificate = () => undefined;
      await renegotiate(socket);
      expect([await status(socket, alices), await status(socket, bobs)]).toEqual([401, 401]);
    } finally {
      socket.destroy();
    }
  });

  it('a certificate that the server asks for by renegotiation counts from then on', async () => {
    // Otherwise the second handshake resumes the session of the first, which has no certificate.
    await start({
      requestCert: false,
      secureOptions: constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION,
    });
    const alices = tokenOf(pki.aliceEc);
    const socket = await openConnection(pki, api, pki.aliceEc, { maxVersion: 'TLSv1.2' });
    try {
      expect(await status(socket, alices)).toBe(401);
      await renegotiate(served, { requestCert: true });
      expect(await status(socket, alices)).toBe(200);
    } finally {
      socket.destroy();
    }
  });
});
