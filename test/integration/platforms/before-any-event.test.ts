// What Node refuses before any middleware runs. No event tells of it: docs/reference/troubleshooting.md names it by symptom.
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer, request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import type { RefusedEvent } from '@mtls-bound/core';
import { nginx, proxyHeader } from '@mtls-bound/core';
import { createTestCertificate } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const admitted = recordedEvents('mtls-bound:admitted');

let server: Server | undefined;
afterEach(async () => {
  if (server !== undefined) {
    await close(server);
  }
});

async function optionsWith(more: object) {
  const certificate = await createTestCertificate();
  return {
    ...optionsOver(
      pretendServer(() => boundClaims(certificate)),
      certificate,
    ),
    ...more,
  };
}

describe.each(frameworks)('%s', (framework) => {
  it('the PEM of $ssl_client_cert in a header is an empty 400 of Node, and no event', async () => {
    const certificate = proxyHeader(nginx(), { trust: 'loopback' });
    const { listener, handled } = createApi(framework, await optionsWith({ certificate }));
    server = createHttpServer(listener);
    const port = await listen(server);
    const socket = connect(port, '127.0.0.1');
    const header = pki.alice.cert.trim();
    socket.end(
      `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\nX-SSL-Client-Cert: ${header}\r\n\r\n`,
    );
    const answer = await text(socket);
    expect(answer).toBe('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    expect([handled(), refused.length, admitted.length]).toEqual([0, 0, 0]);
  });

  it('a TLS server without rejectUnauthorized: false ends the connection, without an answer and an event', async () => {
    const { listener, handled } = createApi(framework, await optionsWith({}));
    const tls = { cert: pki.server.cert, key: pki.server.key, requestCert: true };
    server = createHttpsServer(tls, listener);
    const port = await listen(server);
    const { cert, key } = pki.alice;
    const asked = new Promise((resolve, reject) => {
      const headers = { authorization: 'Bearer t' };
      httpsRequest({ host: '127.0.0.1', port, cert, key, ca: pki.ca.cert, headers, agent: false }, resolve)
        .on('error', reject)
        .end();
    });
    await expect(asked).rejects.toMatchObject({ code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) });
    expect([handled(), refused.length, admitted.length]).toEqual([0, 0, 0]);
  });
});
