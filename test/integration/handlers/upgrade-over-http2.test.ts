// Requests over HTTP/2 share a connection: what refuses one of them must not end the others.
import { once } from 'node:events';
import { connect, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { createResourceServer } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { beforeAll, expect, it, vi } from 'vitest';
import { deferred } from '../../support/deferred.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

it('answerUpgrade() resets the stream of the request, and another request of the connection is answered', async () => {
  const { certificate } = await createTestKit();
  const resourceServer = createResourceServer(
    optionsOver(
      pretendServer(() => boundClaims(certificate)),
      certificate,
    ),
  );
  const refused = deferred<void>();
  const server = createServer(async (req, res) => {
    try {
      await resourceServer.authorize(req);
      await refused.promise;
      res.end('slow');
    } catch (thrown) {
      resourceServer.answerUpgrade(thrown, req as never);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const slow = client.request({ ':path': '/', authorization: 'Bearer good' });
  const answered = once(slow, 'response');
  const bad = client.request({ ':path': '/' });
  const codes = new Promise((resolve) => {
    bad.on('error', () => undefined).on('close', () => resolve(bad.rstCode));
  });
  expect(await codes).toBe(8);
  refused.resolve();
  const [headers] = await answered;
  expect(headers[':status']).toBe(200);
  expect([client.closed, client.destroyed]).toEqual([false, false]);
  client.destroy();
  await new Promise((resolve) => server.close(resolve));
  await resourceServer.close();
});
