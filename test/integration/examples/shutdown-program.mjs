// Runs the end that docs/guides/fleet.md shows, given as SHOWN, with a server, and a connection of its own that nothing else ends.
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { connect } from 'node:net';
import { createResourceServer } from '@mtls-bound/core';

const resourceServer = createResourceServer({
  issuer: 'https://as.example.com',
  clientId: 'api',
  clientSecret: 'secret',
  audience: 'https://api.example.com',
});
const mtls = {
  async close() {
    await resourceServer.close();
    process.stdout.write('closed\n');
  },
};
// The answer to `/slow` waits for SIGTERM.
let slow;
process.on('SIGTERM', () => setTimeout(() => slow?.end('answered'), 100));
const create = process.env.HTTP2 ? createHttp2Server : createServer;
const server = create((req, res) => {
  if (req.url === '/slow') {
    slow = res;
    process.stdout.write('under way\n');
  } else {
    res.end('ok');
  }
})
  .on('upgrade', (_req, socket) => {
    // A WebSocket that its client does not close.
    socket.on('error', () => undefined);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  })
  .listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
connect(Number(process.env.ELSEWHERE), '127.0.0.1');

new Function('server', 'mtls', process.env.SHOWN)(server, mtls);
