// What one who can write to Redis, but not open what is sealed there, can do to processes that start later.
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@redis/client';
import { expect, it, vi } from 'vitest';
import {
  createLogFleet,
  logHeaderKey as headerKey,
  type LogProcess,
  logStream as stream,
  useLogSuite,
} from '../../support/log-process.js';
import { describeReal } from '../../support/programs.js';
import type { TestRedis } from '../../support/redis.js';

type Entry = readonly [id: string, fields: readonly string[]];

const entriesOf = async (redis: TestRedis) => (await redis.command('XRANGE', stream, '-', '+')) as Entry[];
const headerOf = (redis: TestRedis) => redis.command('GET', headerKey) as Promise<string>;
const patient = { timeout: 20_000, interval: 200 };

/** Has the fleet write again what it remembers, and deletes all of it but the newest two entries. */
async function deleteWhatIsWrittenAgain(redis: TestRedis): Promise<void> {
  const before = await headerOf(redis);
  await redis.command('DEL', stream);
  await redis.command('XADD', stream, '*', 'entry', 'garbage');
  // The fleet gives the log another header when it has found the loss, and writes a sign of life and what it remembers.
  await vi.waitFor(async () => {
    expect(await headerOf(redis)).not.toBe(before);
    expect((await entriesOf(redis)).length).toBeGreaterThanOrEqual(5);
  }, patient);
  for (const [id] of (await entriesOf(redis)).slice(1, -2)) {
    await redis.command('XDEL', stream, id);
  }
}

/** Deletes the newest entry, has each further XADD fail, and puts the header of before back. */
async function putTheOldHeaderBack(redis: TestRedis): Promise<void> {
  const before = await headerOf(redis);
  await redis.command('XDEL', stream, (await entriesOf(redis)).at(-1)?.[0] ?? '');
  const largest = '18446744073709551615';
  await redis.command('XSETID', stream, `${largest}-${largest}`);
  await vi.waitFor(async () => expect(await headerOf(redis)).not.toBe(before), patient);
  await redis.command('SET', headerKey, before);
}

/** Deletes every entry of one writer in the midst of the log. */
async function deleteTheRevocation(redis: TestRedis): Promise<void> {
  await redis.command('XADD', stream, '*', 'entry', 'garbage');
  const entries = await entriesOf(redis);
  for (const [id] of entries.slice(2, -2)) {
    await redis.command('XDEL', stream, id);
  }
}

/** Writes the whole log again with these entries, at once. */
async function rewrite(
  redis: TestRedis,
  entries: readonly (readonly [id: string, entry: string])[],
): Promise<void> {
  const adding = entries.map(
    (_, index) => `redis.call('XADD', KEYS[1], ARGV[${2 * index + 1}], 'entry', ARGV[${2 * index + 2}])`,
  );
  await redis.command(
    'EVAL',
    `redis.call('DEL', KEYS[1]) ${adding.join(' ')}`,
    '1',
    stream,
    ...entries.flat(),
  );
}

const textsOf = (entries: readonly Entry[]) => entries.map(([id, [, entry = '']]) => [id, entry] as const);

/** Has the writer of the newest entry end, and puts garbage in its place. */
async function replaceTheNewest(redis: TestRedis, [, writer]: readonly LogProcess[]): Promise<void> {
  await writer?.close();
  const entries = textsOf(await entriesOf(redis));
  const newest = entries.at(-1)?.[0] ?? '';
  await rewrite(redis, [...entries.slice(0, -1), [newest, 'garbage']]);
}

/** Like `replaceTheNewest`, by garbage that ends as the entry does. */
async function replaceTheNewestByItsEnd(redis: TestRedis, [, writer]: readonly LogProcess[]): Promise<void> {
  await writer?.close();
  const entries = textsOf(await entriesOf(redis));
  const [newest = '', sealed = ''] = entries.at(-1) ?? [];
  await rewrite(redis, [...entries.slice(0, -1), [newest, 'A'.repeat(80) + sealed.slice(-12)]]);
}

/** Has the writer of the newest entry end, writes more garbage than processes remember entries, and deletes that entry. */
async function floodAndDelete(redis: TestRedis, [, writer]: readonly LogProcess[]): Promise<void> {
  await writer?.close();
  const [newest = ''] = (await entriesOf(redis)).at(-1) ?? [];
  const flood = "for i = 1, 10050 do redis.call('XADD', KEYS[1], '*', 'entry', 'x') end";
  for (let turn = 0; turn < 20; turn += 1) {
    await redis.command('EVAL', flood, '1', stream);
  }
  // The process that runs reads all of it.
  await sleep(8_000);
  await redis.command('XDEL', stream, newest);
}

describeReal('redis-server', 'one who can write to Redis', () => {
  const suite = useLogSuite();

  it.each<[string, (redis: TestRedis, running: readonly LogProcess[]) => Promise<void>]>([
    ['deletes what the fleet has written again', deleteWhatIsWrittenAgain],
    ['puts an older header of the log back', putTheOldHeaderBack],
    ['deletes entries, and puts garbage between the others', deleteTheRevocation],
    ['puts garbage in the place of the newest entry, whose writer has ended', replaceTheNewest],
    ['puts garbage that ends as it does in the place of the newest entry', replaceTheNewestByItsEnd],
    ['writes more garbage than is remembered, and deletes the newest entry of before', floodAndDelete],
  ])(
    'who %s is met by a process that starts later: it does not accept the revoked token',
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

      await forge(redis, running);
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
