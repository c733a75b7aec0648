// The setup of the unit suite. A test that opens a socket or starts a program fails, also if the code under test catches
// the error: such a test belongs in test/integration.
import childProcess from 'node:child_process';
import dgram from 'node:dgram';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { afterAll, afterEach } from 'vitest';

const attempts: string[] = [];

function refuse(what: string): () => never {
  return () => {
    attempts.push(what);
    throw new Error(`A unit test must not ${what}.`);
  };
}

net.Socket.prototype.connect = refuse('open a connection');
net.Server.prototype.listen = refuse('listen on a port');
dgram.Socket.prototype.bind = refuse('bind a UDP socket');
dgram.Socket.prototype.send = refuse('send a datagram');
Object.assign(childProcess.ChildProcess.prototype, { spawn: refuse('start a program') });
for (const name of ['spawnSync', 'execSync', 'execFileSync'] as const) {
  childProcess[name] = refuse('start a program');
}
syncBuiltinESMExports();

function expectNone(): void {
  const seen = attempts.splice(0);
  if (seen.length > 0) {
    throw new Error(`A unit test must not ${seen[0]}: move it to test/integration.`);
  }
}

afterEach(expectNone);
afterAll(expectNone);
