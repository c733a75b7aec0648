import { once } from 'node:events';
import { connect } from 'node:tls';
import { expect } from 'vitest';
import { createPki } from '../support/pki.js';
import { itReal } from '../support/programs.js';
import { startProxy } from '../support/real-proxies.js';

itReal(
  'haproxy',
  'haproxy.cfg: a request that a client sends a byte at a time is ended with 408',
  async () => {
    const pki = await createPki();
    const proxy = await startProxy({
      program: 'haproxy',
      config: 'haproxy/haproxy.cfg',
      pki,
      upstream: 9,
      secret: 'secret',
      // The same setting, so that the test need not wait for ten seconds.
      replace: { 'timeout http-request 10s': 'timeout http-request 500ms' },
    });
    const socket = connect({ host: '127.0.0.1', port: proxy.port, ca: pki.ca.cert });
    let answer = '';
    socket.setEncoding('utf8').on('data', (text) => {
      answer += text;
    });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    socket.write('GET / HTTP/1.1\r\nX: ');
    const dripping = setInterval(() => socket.write('x'), 50);
    try {
      await once(socket, 'close');
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    } finally {
      clearInterval(dripping);
      socket.destroy();
      await proxy.close();
    }
  },
);
