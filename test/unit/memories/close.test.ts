// close() ends when everything that is under way has ended, and not before.
import {
  activeTokenPolicy,
  createResourceServer,
  type ProblemEvent,
  type RefusedEvent,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, expect, it, vi } from 'vitest';
import { MemoryLog } from '../../support/memory-log.js';
import {
  boundClaims,
  gate,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refusals = recordedEvents<RefusedEvent>('mtls-bound:refused');
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();
afterEach(() => {
  vi.useRealTimers();
});

/** A server whose answers wait for a gate, as soon as it is told to. */
function slowServer(more: ResourceServerOptions = {}) {
  const waiting = gate();
  let isSlow = false;
  let underWay = 0;
  const server = pretendServer(async () => {
    if (isSlow) {
      underWay += 1;
      await waiting.opened;
      underWay -= 1;
    }
    return boundClaims(kit.certificate);
  });
  const resourceServer = createResourceServer(optionsOver(server, kit.certificate, more));
  return {
    server,
    resourceServer,
    open: waiting.open,
    underWay: () => underWay,
    slowDown: () => {
      isSlow = true;
    },
  };
}

/** Whether it has settled by now; everything that needs no further event has had its turn. */
async function hasSettled(work: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  work.then(settle, settle);
  for (let i = 0; i < 20; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  return settled;
}

it('waits for a request whose token is asked about', async () => {
  const { resourceServer, slowDown, underWay, open } = slowServer();
  slowDown();
  const outcome = outcomeOf(() => resourceServer.authorize(requestWith('token')));
  await vi.waitFor(() => expect(underWay()).toBe(1));
  const closing = resourceServer.close();
  expect(await hasSettled(closing)).toBe(false);
  open();
  await closing;
  expect([await outcome, underWay()]).toEqual(['admitted', 0]);
});

it('waits for a guard that asks whether a token is active', async () => {
  const { resourceServer, slowDown, underWay, open } = slowServer();
  const req = requestWith('token');
  const authorization = await resourceServer.authorize(req);
  slowDown();
  const confirmed = outcomeOf(async () => {
    await resourceServer.require(req, authorization, activeTokenPolicy);
    return authorization;
  });
  await vi.waitFor(() => expect(underWay()).toBe(1));
  const closing = resourceServer.close();
  expect(await hasSettled(closing)).toBe(false);
  open();
  await closing;
  expect(await confirmed).toBe('admitted');
});

it('waits for an answer that is refreshed in the background', async () => {
  const { resourceServer, slowDown, underWay, open } = slowServer({
    cache: { maxAge: 60, refreshAhead: 29 },
  });
  await resourceServer.authorize(requestWith('token'));
  slowDown();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 50_000 });
  expect(await outcomeOf(() => resourceServer.authorize(requestWith('token')))).toBe('admitted');
  await vi.waitFor(() => expect(underWay()).toBe(1));
  const closing = resourceServer.close();
  expect(await hasSettled(closing)).toBe(false);
  open();
  await closing;
  expect(underWay()).toBe(0);
});

it('leaves the channel of revocations, after the last request, and waits until it has been left', async () => {
  const leaving = gate();
  const order: string[] = [];
  const { resourceServer, slowDown, underWay, open } = slowServer({
    revocations: {
      secret: 'a secret of at least 32 characters',
      channel: {
        publish: async () => undefined,
        subscribe: async () => async () => {
          order.push(`leaving with ${underWay()} under way`);
          await leaving.opened;
        },
      },
    },
  });
  slowDown();
  const outcome = outcomeOf(() => resourceServer.authorize(requestWith('token')));
  await vi.waitFor(() => expect(underWay()).toBe(1));
  const closing = resourceServer.close();
  open();
  await vi.waitFor(() => expect(order).toEqual(['leaving with 0 under way']));
  expect(await hasSettled(closing)).toBe(false);
  leaving.open();
  await closing;
  expect(await outcome).toBe('admitted');
});

it.each([
  ['a log', { log: new MemoryLog() }, 'revocation_not_spread'],
  [
    'a channel',
    { channel: { publish: async () => undefined, subscribe: async () => async () => undefined } },
    'revocation_not_spread',
  ],
  ['neither log nor channel', {}, 'resolved'],
])('with %s a revocation after close() holds in this process alone', async (_fleet, from, expected) => {
  const secret = 'a secret of at least 32 characters';
  const revocations = 'log' in from || 'channel' in from ? { secret, ...from } : {};
  const { resourceServer } = slowServer({ revocations });
  const outcome = () => outcomeOf(() => resourceServer.authorize(requestWith('known')));
  expect(await outcome()).toBe('admitted');
  await resourceServer.close();
  const entries = 'log' in from ? from.log.entries.length : 0;
  const revoked = resourceServer.revoke({ token: 'known' }).then(
    () => 'resolved',
    (error) => error.code,
  );
  expect(await revoked).toBe(expected);
  expect(await outcome()).toBe('token_inactive');
  expect('log' in from ? from.log.entries.length : 0).toBe(entries);
});

it('asks about no further token, and still lets known ones in', async () => {
  const { resourceServer, server } = slowServer();
  const req = requestWith('known');
  const authorization = await resourceServer.authorize(req);
  await resourceServer.close();
  const asked = server.asked.length;
  expect(await outcomeOf(() => resourceServer.authorize(requestWith('unknown')))).toBe('shutting_down');
  expect(await outcomeOf(() => resourceServer.require(req, authorization, activeTokenPolicy))).toBe(
    'shutting_down',
  );
  expect(await outcomeOf(() => resourceServer.authorize(requestWith('known')))).toBe('admitted');
  expect(server.asked).toHaveLength(asked);
});

it('a request that a closed server refuses is no problem that alerts', async () => {
  const { resourceServer } = slowServer();
  await resourceServer.close();
  expect(await outcomeOf(() => resourceServer.authorize(requestWith('unknown')))).toBe('shutting_down');
  expect(refusals.map(({ refusal }) => refusal.code)).toEqual(['shutting_down']);
  expect(problems).toEqual([]);
});

it('may be called twice, and when nothing was ever asked', async () => {
  const { resourceServer } = slowServer();
  await Promise.all([resourceServer.close(), resourceServer.close()]);
  await resourceServer.close();
});
