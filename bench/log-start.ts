// What a process takes to read a log of 100,000 revocations when it starts, until it accepts JWTs, and what it keeps of them.
import { randomUUID } from 'node:crypto';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createClient } from '@redis/client';
import { redisLog } from '../packages/core/src/redis/redis.js';
import { textOfEntry } from '../packages/core/src/revocation/log-entry.js';
import { LogSync } from '../packages/core/src/revocation/log-sync.js';
import { Revocations } from '../packages/core/src/revocation/revocations.js';
import { createSeal } from '../packages/core/src/shared/sealing.js';
import { startRedis } from '../test/support/redis.js';
import { closeScenario } from './harness/close.js';
import { progress, progressEnds } from './harness/progress.js';
import { summaryOf } from './harness/record.js';
import { isQuick } from './harness/settings.js';

const count = isQuick ? 1_000 : 100_000;
const rounds = isQuick ? 5 : 7;
const secret = 'a secret of at least 32 characters';
const stream = 'mtls-bound:{revocations}';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const redis = await startRedis();
const client = await createClient({ url: redis.url }).connect();
const seal = createSeal(secret, 'revocation-log-entry');

async function fill(): Promise<void> {
  const now = Date.now();
  const name = JSON.stringify({ id: randomUUID(), completeSince: now, version: now });
  await client.set(`${stream}:name`, seal.seal(`revocation-log-name ${stream}`, name));
  const log = redisLog(client);
  const writer = randomUUID();
  let lastPosition: string | undefined;
  const entryOf = (number: number): string => {
    const revocation = { subject: randomUUID(), issuer: 'https://as.example.com' };
    const notice = { revocation, at: now, id: randomUUID() };
    const entry = {
      writer,
      number,
      at: Date.now(),
      lastRead: lastPosition,
      lastOwn: lastPosition,
      version: now,
      syncedSince: now,
      attested: undefined,
      notice,
      noticeAge: 0,
      noticeCalls: 1,
    };
    return seal.seal(`revocation-log-entry ${stream}`, textOfEntry(entry));
  };
  for (let number = 1_000; number <= count; number += 1_000) {
    await Promise.all(
      Array.from({ length: 999 }, (_, index) =>
        client.xAdd(stream, '*', { entry: entryOf(number - 999 + index) }),
      ),
    );
    lastPosition = await log.append(entryOf(number), 3_600_000, new AbortController().signal);
  }
  await log.close?.();
}

function heapUsed(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

async function start(): Promise<{ milliseconds: number; processor: number; bytes: number }> {
  const problems: string[] = [];
  const usage = process.cpuUsage();
  const begin = performance.now();
  const revocations = new Revocations({
    longestUse: 3_600,
    maxAgeWhileUnsynced: 5,
    clockTolerance: 30,
    syncedBy: 'log',
    maxWait: 60,
    acceptsUnknownRevocation: false,
  });
  const rules = {
    log: redisLog(client),
    secrets: [secret],
    longestTokenLifetime: 3_600,
    maxAgeWhileUnsynced: 5,
  };
  const feed = new LogSync(rules, revocations, (code) => problems.push(code));
  await revocations.untilSynced();
  const milliseconds = performance.now() - begin;
  const { user, system } = process.cpuUsage(usage);
  await sleep(100);
  // What the round before left is collected by now.
  const bytes = heapUsed() - before;
  const records = revocations.noticesOutsideLog().length;
  await feed.close();
  if (problems.length > 0 || records > 0) {
    throw new Error(`the log should have been read without a problem: ${problems}`);
  }
  return { milliseconds, processor: (user + system) / 1_000, bytes };
}

let before = 0;
const times: number[] = [];
const processorTimes: number[] = [];
const sizes: number[] = [];
try {
  await fill();
  before = heapUsed();
  const peakBefore = process.resourceUsage().maxRSS;
  await start();
  const peak = (process.resourceUsage().maxRSS - peakBefore) * 1_024;
  for (let round = 0; round < rounds; round += 1) {
    const { milliseconds, processor, bytes } = await start();
    times.push(milliseconds);
    processorTimes.push(processor);
    sizes.push(bytes);
    progress(`${round + 1} of ${rounds}`);
  }
  progressEnds();
  closeScenario({
    scenario: 'log-start',
    unit: 'ms until a process has read the log',
    rounds,
    contestants: {
      '100,000 revocations': {
        ...summaryOf(times),
        millisecondsOfProcessors: Math.round(summaryOf(processorTimes).median),
        megabytesMoreAtThePeak: Math.round(peak / 1_000_000),
        loadOfTheMachine: Number(loadavg()[0]?.toFixed(1)),
      },
    },
    ratios: {
      'processor time / 2 s': {
        ...summaryOf(processorTimes.map((time) => time / 2_000)),
        goal: { max: 1 },
      },
      'time / 2 s': { ...summaryOf(times.map((time) => time / 2_000)), goal: { max: 1 } },
      'heap / 40 MB': { ...summaryOf(sizes.map((size) => size / 40_000_000)), goal: { max: 1 } },
    },
  });
} finally {
  client.destroy();
  await redis.kill();
}
