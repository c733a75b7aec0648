// Requests that wait for one question to the authorization server are told of their own certificate alone.
import { createServer } from 'node:http';
import type { NodeRequest } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it, vi } from 'vitest';
import { createApi, type Framework } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import { gate, optionsOver, pretendServer } from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

const answers: [string, number, () => object][] = [
  ['fails', 503, () => new Response('', { status: 500 })],
  ['says that the token is not active', 401, () => ({ active: false })],
  ['refuses our credentials', 503, () => new Response('', { status: 401 })],
];

describe.each<Framework>(['Express', 'Express 4', 'Koa', 'Koa 2'])('%s, with explain: true', (framework) => {
  it.each(answers)(
    'the server %s: each client is told its own thumbprint',
    async (_title, status, answer) => {
      const { opened, open } = gate();
      const server = pretendServer(async () => {
        await opened;
        return answer();
      });
      const certificates = { own: kit.certificate, other: kit.otherCertificate };
      let arrived = 0;
      const certificate = (req: NodeRequest) => {
        arrived += 1;
        if (arrived === 2) {
          // Both wait by the time that the server answers.
          setImmediate(open);
        }
        return certificates[String(req.headers['x-client']) as keyof typeof certificates];
      };
      const { listener } = createApi(
        framework,
        optionsOver(server, undefined, { certificate, explain: true }),
      );
      const listening = createServer(listener);
      const url = `http://127.0.0.1:${await listen(listening)}`;
      const send = async (client: string) => {
        const response = await fetch(url, { headers: { authorization: 'Bearer same', 'x-client': client } });
        return [response.status, await response.text()] as const;
      };
      try {
        const [own, other] = await Promise.all([send('own'), send('other')]);
        expect(server.asked).toEqual(['same']);
        expect([own[0], other[0]]).toEqual([status, status]);
        expect(own[1]).toContain(kit.certificate.thumbprint);
        expect(own[1]).not.toContain(kit.otherCertificate.thumbprint);
        expect(other[1]).toContain(kit.otherCertificate.thumbprint);
        expect(other[1]).not.toContain(kit.certificate.thumbprint);
      } finally {
        await close(listening);
      }
    },
  );
});
