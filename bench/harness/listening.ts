import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits up to five seconds. Resolves with whether a program accepts connections at this loopback port. */
export async function isListening(port: number): Promise<boolean> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const socket = connect(port, '127.0.0.1');
    const answers = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (answers) {
      return true;
    }
    await sleep(50);
  }
  return false;
}
