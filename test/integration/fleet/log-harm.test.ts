// What harms the log of revocations in Redis, and what comes of it: in processes that run, and in those that start later.
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@redis/client';
import { expect, it, vi } from 'vitest';
import { createSeal } from '../../../packages/core/src/shared/sealing.js';
import {
  createLogFleet,
  logHeaderKey as headerKey,
  logStream as stream,
  useLogSuite,
} from '../../support/log-process.js';
import { describeReal } from '../../support/programs.js';
import type { TestRedis } from '../../support/redis.js';

interface Harm {
  readonly harm: (redis: TestRedis, entries: readonly Entry[]) => unknown;
  /** What a process that starts later says to a good token from before. */
  readonly good: 'admitted' | 'token_inactive';
  /** Further revocations before. Default 1. */
  readonly before?: number;
  /** What is reported by a process that runs, or by one that starts later. */
  readonly reported?: string;
}

type Entry = readonly [id: string, fields: readonly string[]];

const revocationOf = (entries: readonly Entry[]): Entry => entries.at(-2) as Entry;
const other = createSeal('another secret of 32 characters or so', 'revocation-log-entry');

const harms: [string, Harm][] = [
  ['nothing', { harm: () => undefined, good: 'admitted' }],
  [
    'DEL of the stream',
    {
      harm: (redis) => redis.command('DEL', stream),
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'DEL of the header',
    {
      harm: (redis) => redis.command('DEL', headerKey),
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'FLUSHALL',
    {
      harm: (redis) => redis.command('FLUSHALL'),
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'XDEL of a revocation',
    {
      harm: (redis, entries) => redis.command('XDEL', stream, revocationOf(entries)[0]),
      good: 'token_inactive',
      reported: 'revocations_log_gap',
    },
  ],
  [
    'XDEL of the newest entry',
    {
      harm: (redis, entries) => redis.command('XDEL', stream, entries.at(-1)?.[0] ?? ''),
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'XTRIM of all but the newest entry',
    {
      harm: (redis) => redis.command('XTRIM', stream, 'MAXLEN', '1'),
      good: 'token_inactive',
      reported: 'revocations_log_gap',
    },
  ],
  [
    'an old entry, written again',
    {
      harm: (redis, entries) => redis.command('XADD', stream, '*', ...(entries[0]?.[1] ?? [])),
      good: 'admitted',
      reported: 'revocation_not_ours',
    },
  ],
  [
    'an entry that another secret sealed',
    {
      harm: (redis) =>
        redis.command('XADD', stream, '*', 'entry', other.seal('revocation-log-entry', '{"writer":"x"}')),
      good: 'admitted',
      reported: 'revocation_not_ours',
    },
  ],
  [
    'an entry without what it should say',
    {
      harm: (redis) => redis.command('XADD', stream, '*', 'something', 'else'),
      good: 'admitted',
      reported: 'revocation_not_ours',
    },
  ],
  [
    'garbage for the header',
    {
      harm: (redis) => redis.command('SET', headerKey, 'garbage'),
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'a list in place of the header',
    {
      harm: async (redis) => {
        await redis.command('DEL', headerKey);
        await redis.command('RPUSH', headerKey, 'garbage');
      },
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'a text in place of the stream',
    {
      harm: (redis) => redis.command('SET', stream, 'garbage'),
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'an entry with the highest id',
    {
      harm: (redis) =>
        redis.command('XADD', stream, '18446744073709551615-18446744073709551615', 'entry', 'garbage'),
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'an entry with an id two hours in the future',
    {
      harm: (redis) => redis.command('XADD', stream, `${Date.now() + 7_200_000}-0`, 'entry', 'garbage'),
      good: 'admitted',
      before: 300,
      reported: 'revocation_not_ours',
    },
  ],
  [
    'a restart that keeps nothing',
    {
      harm: async (redis) => {
        await redis.kill();
        await redis.start();
      },
      good: 'token_inactive',
      reported: 'revocations_log_incomplete',
    },
  ],
  [
    'CLIENT KILL of each connection',
    {
      harm: (redis) => redis.command('CLIENT', 'KILL', 'TYPE', 'normal'),
      good: 'admitted',
    },
  ],
  [
    'SIGSTOP and SIGCONT of Redis',
    {
      harm: async (redis) => {
        redis.signal('SIGSTOP');
        await sleep(4_000);
        redis.signal('SIGCONT');
      },
      good: 'admitted',
      reported: 'revocations_unsynced',
    },
  ],
  [
    'a limit of what Redis sends at once',
    {
      harm: (redis) => redis.command('CONFIG', 'SET', 'client-output-buffer-limit', 'normal 64kb 32kb 1'),
      good: 'admitted',
      before: 500,
    },
  ],
];

describeReal('redis-server', 'harm to the log of revocations', () => {
  const suite = useLogSuite();

  it.each(harms)(
    'after %s no process accepts a revoked token, and a good one is accepted again',
    async (_title, { harm, good, reported, before = 1 }) => {
      const { issuer, redis, problems } = suite;
      const client = () => createClient({ url: redis.url, socket: { reconnectStrategy: 100 } });
      const fleet = createLogFleet(client, issuer.forJwts);
      suite.fleet = fleet;
      const tokens = await Promise.all([60, 61, 62].map((age) => issuer.jwt(age)));
      const [spared, revoked, revokedLater] = tokens as [string, string, string];
      const running = [await fleet.start(), await fleet.start()];
      await fleet.settled(spared, 'admitted');
      expect(await running[0]?.revoke({ token: revoked })).toBe('kept');
      await fleet.settled(revoked, 'token_inactive');
      for (let index = 0; index < before; index += 1) {
        expect(await running[1]?.revoke({ subject: `another-${index}` })).toBe('kept');
      }
      const connections = await redis.connections();

      await harm(redis, await entriesOf(redis));
      const revokedIs = fleet.watch(revoked);
      await fleet.start();
      // What was lost may be what a process has not read: then it vouches for no token from before.
      const isLost = reported === 'revocations_log_incomplete';
      await fleet.settled(spared, isLost ? 'token_inactive' : 'admitted', running);
      const startsLater = async () => {
        const later = await fleet.start();
        const answers = async () => expect(await later.ask(spared)).not.toBe('revocations_unknown');
        await vi.waitFor(answers, { timeout: 10_000 });
        expect(await later.ask(spared)).toBe(good);
      };
      await vi.waitFor(startsLater, { timeout: 15_000, interval: 1_000 });
      const revokedNow = () => running[0]?.revoke({ token: revokedLater });
      await vi.waitFor(async () => expect(await revokedNow()).toBe('kept'), { timeout: 5_000 });
      await fleet.settled(revokedLater, 'token_inactive');
      await fleet.settled(revoked, 'token_inactive');
      expect(await revokedIs()).not.toContain('admitted');
      // Issued later, by a clock that is ahead.
      const isAccepted = async () => {
        const token = await issuer.jwt(-29);
        expect(new Set(await fleet.ask(token))).toEqual(new Set(['admitted']));
      };
      await vi.waitFor(isAccepted, { timeout: 10_000, interval: 200 });
      if (reported !== undefined) {
        expect(problems.map(({ code }) => code)).toContain(reported);
      }

      await fleet.close(fleet.processes.slice(2));
      const left = async () => expect(await redis.connections()).toBeLessThanOrEqual(connections);
      await vi.waitFor(left, { timeout: 5_000 });
    },
  );
});

async function entriesOf(redis: TestRedis): Promise<Entry[]> {
  return (await redis.command('XRANGE', stream, '-', '+')) as Entry[];
}
