import { request as httpsRequest } from 'node:https';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import supertest from 'supertest';
import type { TestApi } from './apis.js';
import type { Identity, Pki } from './pki.js';

/** A supertest request to an API, over TLS with or without a client certificate. */
export function call(pki: Pki, api: Pick<TestApi, 'url'>, path: string, identity?: Identity): supertest.Test {
  return withIdentity(supertest(api.url).get(path), pki, identity);
}

export function post(pki: Pki, api: Pick<TestApi, 'url'>, path: string, identity?: Identity): supertest.Test {
  return withIdentity(supertest(api.url).post(path), pki, identity);
}

function withIdentity(test: supertest.Test, pki: Pki, identity: Identity | undefined): supertest.Test {
  const trusted = test.ca(pki.ca.cert);
  return identity === undefined ? trusted : trusted.cert(identity.cert).key(identity.key);
}

/** The answer to a request whose head is sent byte for byte, for what no HTTP client would send. */
export interface RawAnswer {
  readonly status: number;
  readonly head: string;
}

export async function rawCall(
  pki: Pki,
  api: TestApi,
  lines: readonly string[],
  identity?: Identity,
  target = '/',
): Promise<RawAnswer> {
  const socket = await openConnection(pki, api, identity);
  const head = [
    `GET ${target} HTTP/1.1`,
    'Host: api.example.com',
    'Connection: close',
    ...lines,
    '',
    '',
  ].join('\r\n');
  socket.write(Buffer.from(head, 'latin1'));
  let answer = '';
  socket.setEncoding('latin1');
  for await (const chunk of socket) {
    answer += chunk;
  }
  const [answerHead = ''] = answer.split('\r\n\r\n');
  return { status: Number(answerHead.split(' ')[1]), head: answerHead };
}

export function openConnection(
  pki: Pki,
  { port }: Pick<TestApi, 'port'>,
  identity?: Identity,
  options: ConnectionOptions = {},
  onSession: (session: Buffer) => void = () => undefined,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      ca: pki.ca.cert,
      cert: identity?.cert,
      key: identity?.key,
      ...options,
    });
    socket.on('session', onSession);
    socket.once('error', reject);
    socket.once('secureConnect', () => resolve(socket));
  });
}

/** One request over an agent's (kept-alive) connection. */
export function callOver(
  options: Parameters<typeof httpsRequest>[1],
  url: string,
  token: string,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      url,
      { ...options, headers: { authorization: `Bearer ${token}` } },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      },
    );
    request.on('error', reject);
    request.end();
  });
}
