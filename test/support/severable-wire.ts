import { connect, createServer, type Socket } from 'node:net';
import { close, listen } from './loopback.js';

/** A way to a server on this machine that a test cuts and joins again. */
export interface SeverableWire {
  readonly port: number;
  /** Ends the connections that are there, and takes none. */
  cut(): void;
  join(): void;
  /** Leads new connections to another server. Those that are there stay where they are. */
  leadTo(target: number): void;
  close(): Promise<void>;
}

export async function startWire(firstTarget: number): Promise<SeverableWire> {
  let target = firstTarget;
  const open = new Set<Socket>();
  let isCut = false;
  const endAll = (): void => {
    for (const socket of open) {
      socket.destroy();
    }
  };
  const server = createServer((client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const upstream = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from);
      from.pipe(to);
      from.on('error', () => undefined);
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  return {
    port: await listen(server),
    cut() {
      isCut = true;
      endAll();
    },
    join() {
      isCut = false;
    },
    leadTo(other) {
      target = other;
    },
    async close() {
      endAll();
      await close(server);
    },
  };
}
