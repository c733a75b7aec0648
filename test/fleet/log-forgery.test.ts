// What one who can write to Redis, but not open what is sealed there, can do to processes that start later.
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@redis/client';
import { expect, it, vi } from 'vitest';
import {
  createLogFleet,
  logNameKey as nameKey,
  logStream as stream,
  useLogSuite,
} from '../support/log-process.js';
import { describeReal } from '../support/programs.js';
import type { TestRedis } from '../support/redis.js';

type Entry = readonly [id: string, fields: readonly string[]];

const entriesOf = async (redis: TestRedis) => (await redis.command('XRANGE', stream, '-', '+')) as Entry[];
const nameOf = (redis: TestRedis) => redis.command('GET', nameKey) as Promise<string>;
const patient = { timeout: 20_000, interval: 200 };

/** Has the fleet write again what it remembers, and deletes all of it but the newest two entries. */
async function deleteWhatIsWrittenAgain(redis: TestRedis): Promise<void> {
  const before = await nameOf(redis);
  await redis.command('DEL', stream);
  await redis.command('XADD', stream, '*', 'entry', 'garbage');
  // The fleet gives the log another name when it has found the loss, and writes a sign of life and what it remembers.
  await vi.waitFor(async () => {
    expect(await nameOf(redis)).not.toBe(before);
    expect((await entriesOf(redis)).length).toBeGreaterThanOrEqual(5);
  }, patient);
  for (const [id] of (await entriesOf(redis)).slice(1, -2)) {
    await redis.command('XDEL', stream, id);
  }
}

/** Deletes the newest entry, has each further XADD fail, and puts the name of before back. */
async function putTheOldNameBack(redis: TestRedis): Promise<void> {
  const before = await nameOf(redis);
  await redis.command('XDEL', stream, (await entriesOf(redis)).at(-1)?.[0] ?? '');
  const largest = '18446744073709551615';
  await redis.command('XSETID', stream, `${largest}-${largest}`);
  await vi.waitFor(async () => expect(await nameOf(redis)).not.toBe(before), patient);
  await redis.command('SET', nameKey, before);
}

/** Deletes every entry of one writer in the midst of the log. */
async function deleteTheRevocation(redis: TestRedis): Promise<void> {
  await redis.command('XADD', stream, '*', 'entry', 'garbage');
  const entries = await entriesOf(redis);
  for (const [id] of entries.slice(2, -2)) {
    await redis.command('XDEL', stream, id);
  }
}

describeReal('redis-server', 'one who can write to Redis', () => {
  const suite = useLogSuite();

  it.each<[string, (redis: TestRedis) => Promise<void>]>([
    ['deletes what the fleet has written again', deleteWhatIsWrittenAgain],
    ['puts an older name of the log back', putTheOldNameBack],
    ['deletes entries, and puts garbage between the others', deleteTheRevocation],
  ])(
    '%s: a process that starts later does not accept the revoked token',
    async (_title, forge) => {
      const { issuer, redis } = suite;
      const client = () => createClient({ url: redis.url, socket: { reconnectStrategy: 100 } });
      const fleet = createLogFleet(client, issuer.forJwts);
      suite.fleet = fleet;
      const tokens = await Promise.all([60, 61, 62].map((age) => issuer.jwt(age)));
      const [spared, revoked, another] = tokens as [string, string, string];
      const running = [await fleet.start(), await fleet.start()];
      await fleet.settled(spared, 'admitted');
      expect(await running[0]?.revoke({ token: revoked })).toBe('kept');
      expect(await running[1]?.revoke({ token: another })).toBe('kept');
      await fleet.settled(revoked, 'token_inactive');

      await forge(redis);
      const later = await fleet.start();
      for (let turn = 0; turn < 20; turn += 1) {
        const answers = [await later.ask(revoked), await later.ask(another)];
        expect(answers).not.toContain('admitted');
        await sleep(200);
      }
    },
    60_000,
  );
});
