// A policy of the user may never settle: the request is answered, and nothing of the resource server waits for it.
import { createServer, type Server } from 'node:http';
import type * as core from '@mtls-bound/core';
import type { ProblemEvent, RoutePolicy } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

let kit: TestKit;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});

let server: Server | undefined;
afterEach(async () => {
  vi.useRealTimers();
  if (server !== undefined) {
    await close(server);
  }
});

const never = () => new Promise<never>(() => undefined);
const thenable = (then: () => void) => ({ then });
const options = (more: core.ResourceServerOptions = {}) =>
  optionsOver(
    pretendServer(() => boundClaims(kit.certificate)),
    kit.certificate,
    more,
  );

describe.each(frameworks)('%s', (framework) => {
  it.each<[string, RoutePolicy]>([
    ['policy', never],
    ['thenable of a policy', (() => thenable(() => undefined)) as never],
  ])(
    'a %s that never settles is answered 503 after 60 seconds, and no handler runs',
    async (_title, policy) => {
      const called = vi.fn(policy);
      const api = createApi(framework, options(), called);
      server = createServer(api.listener);
      const port = await listen(server);
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      let status: number | undefined;
      const answered = fetch(`http://127.0.0.1:${port}/policy`, {
        headers: { authorization: 'Bearer token' },
      }).then((response) => {
        status = response.status;
      });
      await vi.waitUntil(() => called.mock.calls.length > 0);
      vi.advanceTimersByTime(59_999);
      expect(status).toBeUndefined();
      vi.advanceTimersByTime(1);
      await answered;
      expect([status, api.handled()]).toEqual([503, 0]);
      expect(problems.map(({ message }) => message)).toContainEqual(
        expect.stringContaining('a route policy did not settle within 60 s'),
      );
    },
  );
});
