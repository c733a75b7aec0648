// The least that a Redis user must be allowed, and what comes of less.
import { setTimeout as sleep } from 'node:timers/promises';
import KeyvRedis from '@keyv/redis';
import { createClient } from '@redis/client';
import Keyv from 'keyv';
import { describe, expect, it, vi } from 'vitest';
import { SharedCache } from '../../../packages/core/src/cache/shared-cache.js';
import { checkStores } from '../../../packages/core/src/doctor/store-checks.js';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { redisChannel, redisLock } from '../../../packages/core/src/redis/redis.js';
import { createLogFleet, type LogFleet, useLogSuite } from '../../support/log-process.js';
import { describeReal } from '../../support/programs.js';
import type { TestRedis } from '../../support/redis.js';

/** What node-redis sends when it connects is not listed: HELLO and AUTH need no right, CLIENT SETINFO may fail. */
const ofLog = ['get', 'set', 'xadd', 'xinfo|stream', 'xrange', 'xread'];
const logKeys = '~mtls-bound:{revocations}*';

const user = { username: 'api', password: 'a-password-of-the-test' };

async function permit(redis: TestRedis, ...rules: string[]): Promise<void> {
  await redis.command('ACL', 'SETUSER', user.username, 'reset', 'on', `>${user.password}`, ...rules);
}

const plus = (commands: readonly string[]) => commands.map((command) => `+${command}`);

describeReal('redis-server', 'a Redis user with the least rights', () => {
  const suite = useLogSuite();
  const connect = () => createClient({ url: suite.redis.url, ...user });
  const createFleet = (): LogFleet => {
    const fleet = createLogFleet(connect, suite.issuer.forJwts);
    suite.fleet = fleet;
    return fleet;
  };

  it('keeps and reads revocations', async () => {
    await permit(suite.redis, logKeys, ...plus(ofLog));
    const fleet = createFleet();
    const [one] = [await fleet.start(), await fleet.start()];
    const [good, revoked] = [await suite.issuer.jwt(60), await suite.issuer.jwt(61)];
    await fleet.settled(good, 'admitted');
    expect(await one?.revoke({ token: revoked })).toBe('kept');
    await fleet.settled(revoked, 'token_inactive');
    await fleet.start();
    await fleet.settled(revoked, 'token_inactive');
    await fleet.settled(good, 'admitted');
    expect(suite.problems).toEqual([]);
  });

  it.each(ofLog)(
    'reports that %s is missing, leaves no connection behind, and goes on when it may',
    async (missing) => {
      await permit(suite.redis, logKeys, ...plus(ofLog.filter((command) => command !== missing)));
      const fleet = createFleet();
      const one = await fleet.start();
      const good = await suite.issuer.jwt(60);
      await vi.waitFor(() => expect(suite.problems.length).toBeGreaterThan(0), { timeout: 5_000 });
      const counts: number[] = [];
      for (let second = 0; second < 3; second += 1) {
        await sleep(1_000);
        counts.push(await suite.redis.connections());
      }
      expect(Math.max(...counts)).toBeLessThanOrEqual(3);
      const [{ code, message } = { code: '', message: '' }] = suite.problems;
      expect(code).toBe(missing === 'xadd' ? 'revocations_unwritten' : 'revocations_unsynced');
      expect(message.toLowerCase()).toContain(`no permissions to run the '${missing}' command`);
      // Also where the log can be read: no other process could object to what this one took for complete.
      expect(await one.ask(good)).toBe('revocations_unknown');
      if (missing === 'xadd') {
        expect(await one.revoke({ subject: 'another' })).toBe('revocation_not_spread');
      }
      expect(suite.problems.filter((problem) => problem.code === code)).toHaveLength(1);
      await permit(suite.redis, logKeys, ...plus(ofLog));
      await fleet.settled(good, 'admitted');
      await vi.waitFor(async () => expect(await one.revoke({ subject: 'another' })).toBe('kept'), {
        timeout: 5_000,
      });
    },
  );

  it.each(ofLog)('ends by close() while %s is missing, and its connections with it', async (missing) => {
    await permit(suite.redis, logKeys, ...plus(ofLog.filter((command) => command !== missing)));
    const fleet = createFleet();
    await fleet.start();
    await vi.waitFor(() => expect(suite.problems.length).toBeGreaterThan(0), { timeout: 5_000 });
    await fleet.close();
    await vi.waitFor(async () => expect(await suite.redis.connections()).toBe(0));
  });

  describe('redisChannel()', () => {
    it('publishes and listens', async () => {
      await permit(suite.redis, '&mtls-bound:revocations', '+publish', '+subscribe');
      const client = await connect().connect();
      const heard: string[] = [];
      const channel = redisChannel(client);
      const nothing = () => undefined;
      const end = await channel.subscribe({
        message: (text) => heard.push(text),
        interrupted: nothing,
        restored: nothing,
      });
      await channel.publish('sealed');
      await vi.waitFor(() => expect(heard).toEqual(['sealed']));
      await end();
      client.destroy();
    });

    it.each(['publish', 'subscribe'])(
      'rejects without %s, and leaves no connection behind',
      async (missing) => {
        const rules = ['+publish', '+subscribe'].filter((rule) => rule !== `+${missing}`);
        await permit(suite.redis, '&mtls-bound:revocations', ...rules);
        const client = await connect().connect();
        const channel = redisChannel(client);
        const nothing = () => undefined;
        const listener = { message: nothing, interrupted: nothing, restored: nothing };
        const act = async () =>
          missing === 'publish' ? channel.publish('sealed') : channel.subscribe(listener);
        for (let attempt = 0; attempt < 3; attempt += 1) {
          await expect(act()).rejects.toThrow(missing);
        }
        await vi.waitFor(async () => expect(await suite.redis.connections()).toBe(1));
        client.destroy();
      },
    );
  });

  describe('sharedCache.store', () => {
    const keys = ['~keyv::keyv:mtls-bound:*', '~keyv::keyv:mtls-doctor:*'];
    const secret = 'a secret of at least 32 characters';
    const answer = { issuer: 'https://as.example.com', claims: {}, askedAt: 1, logReadUpTo: undefined };

    /** What another process reads after an answer was stored, and after it was removed, and what the doctor finds. */
    const tryStore = async (...rules: string[]) => {
      await permit(suite.redis, ...rules);
      const client = createClient({ url: suite.redis.url, ...user, disableOfflineQueue: true });
      client.on('error', () => undefined);
      const connecting = client.connect();
      const store = new Keyv({ store: new KeyvRedis(client as never) });
      const [finding] = await checkStores(
        resolveSettings(
          {
            issuer: answer.issuer,
            audience: 'a',
            clientId: 'a',
            clientSecret: secret,
            sharedCache: { store, secret },
          },
          {},
        ),
      );
      await connecting;
      const createCache = () =>
        new SharedCache(
          { store, secret: [secret], lock: undefined, timeout: 5, lockTimeout: 5 },
          () => undefined,
        );
      const [one, two] = [createCache(), createCache()];
      await one.put('key', answer, 60);
      const stored = await two.get('key');
      await one.remove('key');
      const removed = await two.get('key');
      client.destroy();
      return { finding, stored, removed };
    };

    it('shares and removes answers, and the doctor finds nothing wrong, also before it is connected', async () => {
      const { finding, stored, removed } = await tryStore(...keys, '+get', '+set');
      expect(finding?.code).toBe('shared_store');
      expect(stored).toEqual(answer);
      expect(removed).toBeUndefined();
    });

    it.each([
      ['get', [...keys, '+set']],
      ['set', [...keys, '+get']],
      ['the keys', ['~mtls-bound:*', '+get', '+set']],
    ])('shares nothing without %s, and the doctor reports it', async (_missing, rules) => {
      const { finding, stored } = await tryStore(...rules);
      expect(finding).toMatchObject({
        code: 'shared_store_unreachable',
        fix: expect.stringContaining('rights'),
      });
      expect(stored).toBeUndefined();
    });
  });

  describe('redisLock()', () => {
    it('takes and releases', async () => {
      await permit(suite.redis, '~*', '+set', '+del');
      const client = await connect().connect();
      const lock = redisLock(client);
      expect(await lock.acquire('name', 5_000)).toBe(true);
      expect(await lock.acquire('name', 5_000)).toBe(false);
      await lock.release('name');
      expect(await lock.acquire('name', 5_000)).toBe(true);
      client.destroy();
    });

    it.each(['set', 'del'])('rejects without %s', async (missing) => {
      await permit(suite.redis, '~*', ...['+set', '+del'].filter((rule) => rule !== `+${missing}`));
      const client = await connect().connect();
      const lock = redisLock(client);
      const act = async () => (missing === 'set' ? lock.acquire('name', 5_000) : lock.release('name'));
      await expect(act()).rejects.toThrow(missing);
      client.destroy();
    });
  });
});
