import { createResourceServer, RequestRefused } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { expect, it } from 'vitest';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

const kit = await createTestKit();
const server = createResourceServer(
  optionsOver(
    pretendServer(() => boundClaims(kit.certificate)),
    kit.certificate,
    { onRefused: 'next' },
  ),
);
const refusal = new RequestRefused('scope_insufficient');

it.each(
  (['answer', 'errorFor', 'answerUpgrade'] as const).flatMap((method) =>
    [undefined, null, 'x'].map((req) => [method, req] as const),
  ),
)('%s() throws a TypeError that names the request if it gets %j instead', (method, req) => {
  const got = req === null ? 'null' : typeof req;
  expect(() => server[method](refusal, req as never)).toThrow(
    new TypeError(`resourceServer.${method}(thrown, req): expected the request as req, got ${got}`),
  );
});

it('answer() and errorFor() accept a request that never reached authorize()', () => {
  expect(server.answer(refusal, requestWith('token')).status).toBe(403);
  expect(server.errorFor(refusal, requestWith('token'))?.status).toBe(403);
});
