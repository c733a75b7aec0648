import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import type { Pki } from './pki.js';

const portOf = (url: string): number => Number(new URL(url).port);

/** Begins a request of alice for `/accounts` and leaves its header without an end. Resolves with the connection. */
export async function beginRequest(pki: Pki, url: string, token: string): Promise<TLSSocket> {
  const { cert, key } = pki.alice;
  const socket = connect({ host: '127.0.0.1', port: portOf(url), ca: pki.ca.cert, cert, key });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  socket.write(`GET /accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`);
  return socket;
}

/** Ends the header of a request that `beginRequest()` began. Resolves with all that the API answers. */
export async function endRequest(socket: TLSSocket): Promise<string> {
  socket.write('Connection: close\r\n\r\n');
  let answer = '';
  for await (const chunk of socket.setEncoding('utf8')) {
    answer += chunk;
  }
  return answer;
}

/** Resolves with whether the API refuses a new connection. */
export function refusesConnections(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(portOf(url), '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}
