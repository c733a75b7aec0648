// A process is cut off from the log of revocations. Another one revokes and ends. The log loses what it wrote before the first one is back.
import { type ResourceServerOptions, redisLog } from '@mtls-bound/core';
import { createClient } from '@redis/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { type GuardedApi, guardedApi } from '../../support/guarded-api.js';
import { logSecret, logStream, useLogSuite } from '../../support/log-process.js';
import { requestWith } from '../../support/pretend-server.js';
import { describeReal } from '../../support/programs.js';
import { recordedEvents } from '../../support/recorded-events.js';
import type { TestRedis } from '../../support/redis.js';
import { type SeverableWire, startWire } from '../../support/severable-wire.js';

type Framework = (typeof frameworks)[number];
type Loss = (redis: TestRedis) => Promise<unknown>;

const restart: Loss = async (redis) => {
  await redis.kill();
  await redis.start();
};
const deleteNewest: Loss = async (redis) => {
  const [[id] = ['']] = (await redis.command('XREVRANGE', logStream, '+', '-', 'COUNT', '1')) as [string][];
  expect(await redis.command('XDEL', logStream, id)).toBe(1);
};

const losses: [string, Loss][] = [
  ['a restart of Redis that keeps nothing', restart],
  ['DEL of the stream', (redis) => redis.command('DEL', logStream)],
  ['FLUSHALL', (redis) => redis.command('FLUSHALL')],
  ['XDEL of the newest entry', deleteNewest],
];

describeReal('redis-server', 'a process that is cut off from the log of revocations', () => {
  const suite = useLogSuite();
  const heard = recordedEvents<{ state: string }>('mtls-bound:revocation-sync');
  const ends: (() => Promise<void>)[] = [];
  let wire: SeverableWire;
  let wireOfRevoker: SeverableWire;

  beforeEach(async () => {
    wire = await startWire(suite.redis.port);
    wireOfRevoker = await startWire(suite.redis.port);
  });
  afterEach(async () => {
    await Promise.all(ends.splice(0).map((end) => end()));
    await Promise.all([wire.close(), wireOfRevoker.close()]);
  });

  async function start(
    framework: Framework,
    options: ResourceServerOptions,
    port: number,
  ): Promise<GuardedApi> {
    const client = createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: 100 } });
    client.on('error', () => undefined);
    await client.connect();
    const api = guardedApi(framework, {
      ...options,
      clockTolerance: 0,
      revocations: { log: redisLog(client), secret: logSecret, maxAgeWhileUnsynced: 2, maxWait: 0.2 },
    });
    ends.push(async () => {
      await api.server.close();
      client.destroy();
    });
    return api;
  }

  const settled = (api: GuardedApi, token: string, status: number) =>
    vi.waitFor(async () => expect(await api.status(token)).toBe(status), { timeout: 10_000, interval: 50 });
  const reported = (code: string) =>
    vi.waitFor(() => expect(suite.problems.map((problem) => problem.code)).toContain(code), {
      timeout: 10_000,
      interval: 10,
    });

  async function isNeverAdmitted(api: GuardedApi, token: string): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) {
      expect(await api.status(token)).not.toBe(200);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  describe.each(frameworks)('%s', (framework) => {
    it.each(losses)(
      'refuses a JWT whose revocation was lost by %s, and so does a process that starts later',
      { timeout: 60_000 },
      async (_title, lose) => {
        const { redis, issuer } = suite;
        const api = await start(framework, issuer.forJwts, wire.port);
        const revoker = await start(framework, issuer.forJwts, redis.port);
        const revoked = await issuer.jwt(60);
        await settled(api, revoked, 200);
        await settled(revoker, revoked, 200);
        wire.cut();
        await reported('revocations_unsynced');
        await revoker.server.revoke({ token: revoked });
        await revoker.server.close();
        await lose(redis);
        wire.join();
        await reported('revocations_synced');
        await isNeverAdmitted(api, revoked);
        expect(await api.status(revoked)).toBe(401);
        // By then the process has written what it remembers, and says for how long the log is complete.
        await new Promise((resolve) => setTimeout(resolve, 7_000));
        const later = await start(framework, issuer.forJwts, redis.port);
        await settled(later, await issuer.jwt(0), 200);
        expect(await later.status(revoked)).toBe(401);
        await settled(api, await issuer.jwt(0), 200);
      },
    );

    it('refuses a JWT whose revocation was lost, while the process that revoked it is cut off as well', async () => {
      const { redis, issuer } = suite;
      const api = await start(framework, issuer.forJwts, wire.port);
      const revoker = await start(framework, issuer.forJwts, wireOfRevoker.port);
      const revoked = await issuer.jwt(60);
      await settled(api, revoked, 200);
      await settled(revoker, revoked, 200);
      wire.cut();
      await reported('revocations_unsynced');
      await revoker.server.revoke({ token: revoked });
      wireOfRevoker.cut();
      await restart(redis);
      wire.join();
      await reported('revocations_synced');
      await isNeverAdmitted(api, revoked);
      wireOfRevoker.join();
      await isNeverAdmitted(api, revoked);
    });

    it('reads what was revoked meanwhile, and accepts other JWTs from before, where the log is kept', async () => {
      const { redis, issuer } = suite;
      const api = await start(framework, issuer.forJwts, wire.port);
      const revoker = await start(framework, issuer.forJwts, redis.port);
      const [revoked, spared] = [await issuer.jwt(60), await issuer.jwt(61)];
      await settled(api, revoked, 200);
      await settled(revoker, revoked, 200);
      wire.cut();
      await reported('revocations_unsynced');
      await revoker.server.revoke({ token: revoked });
      await revoker.server.close();
      wire.join();
      await reported('revocations_synced');
      expect([await api.status(revoked), await api.status(spared)]).toEqual([401, 200]);
    });

    it.each([
      ['before it had read the log', 0],
      ['after it had read the log', 2],
    ])(
      'asks again about an opaque token that came %s, and fires the signal of its open request, where the log is lost',
      async (title, hearing) => {
        const { redis, issuer } = suite;
        const api = await start(framework, issuer.forOpaque, wire.port);
        const revoker = await start(framework, issuer.forOpaque, redis.port);
        const revoked = `${framework} ${title}`.replace(/\W/g, '-');
        await vi.waitFor(() => expect(heard.length).toBeGreaterThanOrEqual(hearing), { timeout: 10_000 });
        expect([await api.status(revoked), await revoker.status(revoked)]).toEqual([200, 200]);
        const signal = (await api.server.authorize(requestWith(revoked)))?.signal;
        expect(signal?.aborted).toBe(false);
        wire.cut();
        await reported('revocations_unsynced');
        issuer.inactive.add(revoked);
        await revoker.server.revoke({ token: revoked });
        await revoker.server.close();
        await restart(redis);
        wire.join();
        await reported('revocations_synced');
        expect(await api.status(revoked)).toBe(401);
        expect(signal?.reason).toMatchObject({ code: 'revocations_unknown' });
      },
    );
  });
});
