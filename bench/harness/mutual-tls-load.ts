import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { freePort } from '../../test/support/background-program.js';
import { pinned } from './cores.js';
import { isListening } from './listening.js';
import type { Load, LoadGenerator } from './load.js';
import { findProgram } from './program.js';
import { isQuick } from './settings.js';
import { wrk } from './wrk.js';

/**
 * A load over mutual TLS that keeps a server busy: wrk sends plain HTTP to HAProxy, and HAProxy opens a TLS
 * connection of its own for each of wrk's, with the client certificate. `undefined` where one of them is not
 * installed.
 *
 * HAProxy never sleeps (`busy-polling`). To wake a process on another core of a virtual machine takes a server
 * longer than a check does, and the slower server finds its client asleep more often.
 */
export async function startMutualTlsLoad(
  identity: NonNullable<Load['identity']>,
): Promise<{ readonly generate: LoadGenerator; stop(): Promise<void> } | undefined> {
  const program = findProgram('haproxy');
  if (program === undefined || findProgram('wrk') === undefined || isQuick) {
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-haproxy-'));
  const file = (name: string) => join(folder, name);
  const port = await freePort();
  writeFileSync(file('client.pem'), identity.cert + identity.key);
  writeFileSync(file('haproxy.cfg'), configuration(port, file('client.pem'), file('socket')));
  const [command, ...args] = pinned('load', [program, '-db', '-f', file('haproxy.cfg')]);
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill();
    await exited;
    rmSync(folder, { recursive: true });
  };
  if (!(await isListening(port))) {
    await stop();
    throw new Error('haproxy did not start');
  }
  return {
    async generate(load) {
      const url = new URL(load.url);
      await tell(file('socket'), `set server api/api addr 127.0.0.1 port ${url.port}`);
      return wrk({ ...load, url: `http://127.0.0.1:${port}${url.pathname}` });
    },
    stop,
  };
}

/** Each connection has a handshake of its own, as those of the other load generators have. */
function configuration(port: number, clientCertificate: string, socket: string): string {
  return `
global
  nbthread 1
  busy-polling
  stats socket ${socket} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen api
  bind 127.0.0.1:${port}
  server api 127.0.0.1:1 ssl verify none crt ${clientCertificate} no-ssl-reuse
`;
}

/** Gives HAProxy a command, which it answers with a text. */
async function tell(path: string, command: string): Promise<void> {
  const socket = connect(path);
  socket.end(`${command}\n`);
  const answer = await text(socket);
  if (!/^\s*($|.*changed|no need to change)/i.test(answer)) {
    throw new Error(`HAProxy did not take "${command}": ${answer}`);
  }
}
