// An application that destroys a connection in a handler: Node still announces the requests that came with it, over a
// connection that says nothing any more. The process must live.
import { createServer } from 'node:https';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, serve } from '../../support/apis.js';
import { call, openConnection } from '../../support/calls.js';
import { createPki } from '../../support/pki.js';

const uncaught = vi.fn();
beforeEach(() => {
  uncaught.mockClear();
  process.on('uncaughtException', uncaught);
});
afterEach(() => {
  process.off('uncaughtException', uncaught);
});

describe.each(frameworks)('%s', (framework) => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'several requests at once over %s, the first of which has its connection destroyed',
    async (version) => {
      const [pki, kit] = await Promise.all([createPki(), createTestKit()]);
      const { certificate: _, ...options } = kit.options;
      const { listener, handled } = createApi(framework, options);
      const destroying: typeof listener = (req, res) =>
        req.url === '/destroyed' ? void req.socket.destroy() : listener(req, res);
      const api = await serve(createServer(mutualTls(pki), destroying), handled);
      try {
        const socket = await openConnection(pki, api, pki.aliceEc, { maxVersion: version });
        const closed = new Promise((resolve) => socket.once('close', resolve));
        socket.on('error', () => undefined);
        socket.write('GET /destroyed HTTP/1.1\r\nHost: api.example.com\r\n\r\n'.repeat(5));
        await closed;
        // Another client is answered.
        const token = kit.boundToken({ claims: { cnf: { 'x5t#S256': pki.alice.thumbprint } } });
        expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
        expect(uncaught).not.toHaveBeenCalled();
      } finally {
        await api.close();
      }
    },
  );
});
