// Runs the end that docs/guides/fleet.md shows, given as SHOWN, with a server, and a connection of its own that nothing else ends.
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { createResourceServer } from '@mtls-bound/core';
import { WebSocketServer } from 'ws';

const resourceServer = createResourceServer({
  issuer: 'https://as.example.com',
  clientId: 'api',
  clientSecret: 'secret',
  audience: 'https://api.example.com',
});
let isClosing = false;
const mtls = {
  // Leaves the revocations of the fleet slowly, or not at all.
  async close() {
    isClosing = true;
    process.stdout.write('closing\n');
    await wait(process.env.NEVER_CLOSED ? 60_000 : 300);
    await resourceServer.close();
    process.stdout.write('closed\n');
  },
};
const say = (words) => isClosing && process.stdout.write(`${words} while closing\n`);
// The answer to `/slow` waits for SIGTERM.
let slow;
process.on('SIGTERM', () => setTimeout(() => slow?.end('answered'), 100));
const create = process.env.HTTP2 ? createHttp2Server : createServer;
const sockets = new WebSocketServer({ noServer: true });
const server = create((req, res) => {
  say('answered');
  if (req.url === '/slow') {
    slow = res;
    process.stdout.write('under way\n');
  } else if (req.url === '/stream') {
    // Server-sent events, without an end.
    const timer = setInterval(() => {
      say('sent an event');
      res.write('data: x\n\n');
    }, 20);
    res.on('close', () => clearInterval(timer));
  } else {
    res.end('ok');
  }
})
  .on('upgrade', (req, socket, head) => {
    sockets.handleUpgrade(req, socket, head, (webSocket) => {
      webSocket.on('message', () => {
        say('answered a message');
        webSocket.send('ok');
      });
      webSocket.send('open');
    });
  })
  .listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
connect(Number(process.env.ELSEWHERE), '127.0.0.1');

new Function('server', 'mtls', 'wait', 'sockets', process.env.SHOWN)(server, mtls, wait, sockets);
