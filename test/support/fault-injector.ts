import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';

/** What happens to answers on their way back. */
export type Fault =
  | 'none'
  /** Each chunk comes 100 ms later. */
  | 'latency'
  /** Nothing comes after the headers. */
  | 'stall after headers'
  /** Nothing comes at all. */
  | 'black hole'
  /** The connection is reset when the answer is due. */
  | 'reset'
  /** A byte every 40 ms. */
  | 'trickle'
  /** The connection ends within the body. */
  | 'truncated';

/** Stands between an API and its authorization server, ends TLS on both sides, and spoils what comes back. */
export interface FaultInjector {
  readonly url: string;
  fault: Fault;
  /** How many answers were spoilt. */
  spoilt(): number;
  close(): Promise<void>;
}

export async function startFaultInjector(pki: Pki, target: string): Promise<FaultInjector> {
  const { port: targetPort, hostname } = new URL(target);
  const secureContext = createSecureContext({ cert: pki.server.cert, key: pki.server.key });
  const open = new Set<Socket>();
  let spoilt = 0;

  const server = createServer((raw) => {
    const client = new TLSSocket(raw, { isServer: true, secureContext });
    const upstream = connect({ host: hostname, port: Number(targetPort), ca: pki.ca.cert });
    open.add(raw);
    const end = (): void => {
      open.delete(raw);
      client.destroy();
      raw.destroy();
      upstream.destroy();
    };
    for (const socket of [raw, client, upstream]) {
      socket.on('error', end).on('close', end);
    }
    client.pipe(upstream);
    let queue = Promise.resolve();
    upstream.on('data', (chunk: Buffer) => {
      if (injector.fault !== 'none') {
        spoilt += 1;
      }
      queue = queue.then(() => pass(chunk, injector.fault, client, raw)).catch(end);
    });
  });

  const port = await listen(server);
  const injector: FaultInjector = {
    url: `https://127.0.0.1:${port}`,
    fault: 'none',
    spoilt: () => spoilt,
    async close() {
      for (const socket of open) {
        socket.destroy();
      }
      await close(server);
    },
  };
  return injector;
}

async function pass(chunk: Buffer, fault: Fault, client: TLSSocket, raw: Socket): Promise<void> {
  const headers = chunk.subarray(0, chunk.indexOf('\r\n\r\n') + 4);
  switch (fault) {
    case 'none':
      client.write(chunk);
      return;
    case 'latency':
      await sleep(100);
      client.write(chunk);
      return;
    case 'stall after headers':
      client.write(headers);
      return;
    case 'black hole':
      return;
    case 'reset':
      raw.resetAndDestroy();
      return;
    case 'trickle':
      for (const byte of chunk) {
        if (client.destroyed) {
          return;
        }
        client.write(Buffer.of(byte));
        await sleep(40);
      }
      return;
    case 'truncated':
      client.end(chunk.subarray(0, headers.length + 10));
  }
}
