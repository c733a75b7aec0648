import { connect, createSecureContext } from 'node:tls';
import type { Identity } from './pki.js';

/** The shortest of three handshakes: other work on the machine makes a handshake longer, and none shorter. */
export async function shortestHandshake(port: number, identity?: Identity): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    times.push(await timeOfHandshake(port, identity));
  }
  return Math.min(...times);
}

/**
 * Milliseconds from the start of a connection until the server's first answer to a request over it, or until the server
 * ends the handshake. Over TLS 1.3 the client alone can't see when the server has verified its certificate.
 */
function timeOfHandshake(port: number, identity?: Identity): Promise<number> {
  const secureContext = createSecureContext({ cert: identity?.cert, key: identity?.key });
  const before = performance.now();
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: 'api.example.com',
    rejectUnauthorized: false,
    secureContext,
  });
  socket.once('data', () => socket.destroy());
  socket.once('secureConnect', () => socket.write('GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n'));
  return new Promise((resolve) => {
    socket.on('error', () => undefined).once('close', () => resolve(performance.now() - before));
  });
}
