// How long a revocation takes to be heard in each of eight processes, by the channel and by the log: from revoke() in one of them to the first
// refusal in the last. Each process is asked every 2 ms meanwhile, and goes on to be asked afterwards: no process may accept it again.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { audience, startAuthorizationServer, testClients } from '../test/support/authorization-server.js';
import { type FleetOptions, type Member, startFleet } from '../test/support/fleet.js';
import { createPki } from '../test/support/pki.js';
import { startRedis } from '../test/support/redis.js';
import { results } from './harness/settings.js';

console.info = console.warn = () => undefined;
const processes = 8;
const rounds = 100;
const goal = 100;

const pki = await createPki();
const [server, redis] = await Promise.all([startAuthorizationServer(pki), startRedis()]);
const { alice } = testClients(pki);
let admittedAfterwards = 0;

/** Milliseconds of each round, in a fleet that hears by the channel, or by the log. */
async function measured(by: Pick<FleetOptions, 'keeps' | 'spreads'>): Promise<number[]> {
  const samples: number[] = [];
  const fleet = await startFleet({
    size: processes,
    redisUrl: redis.url,
    secret: 'a secret of at least 32 characters',
    shares: {},
    ...by,
    options: {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: server.secrets.api,
      audience,
      http: { ca: pki.ca.cert },
    },
  });
  try {
    for (let round = -5; round < rounds; round += 1) {
      const token = await server.token(alice);
      const warm = await Promise.all(fleet.members.map((member) => member.send(token, pki.alice)));
      if (warm.some((status) => status !== 200)) {
        throw new Error(`the token should have passed: ${warm}`);
      }
      await server.revoke(alice, token);
      const start = performance.now();
      const refusals = fleet.members.map((member) => refusedAt(member, token));
      await fleet.members[((round % processes) + processes) % processes]?.revoke({ token });
      const taken = Math.max(...(await Promise.all(refusals))) - start;
      for (const member of fleet.members) {
        admittedAfterwards += (await member.send(token, pki.alice)) === 200 ? 1 : 0;
      }
      if (round >= 0) {
        samples.push(taken);
        if (process.stdout.isTTY) {
          process.stdout.write(`\r${round + 1} of ${rounds}`);
        }
      }
    }
    return samples;
  } finally {
    await fleet.close();
  }
}

async function refusedAt(member: Member, token: string): Promise<number> {
  while ((await member.send(token, pki.alice)) === 200) {
    await sleep(2);
  }
  return performance.now();
}

function figuresOf(samples: readonly number[]) {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) =>
    Number((sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN).toFixed(1));
  return { median: at(0.5), p99: at(0.99), min: at(0.01), max: at(1) };
}

const ratioOf = ({ p99, max }: ReturnType<typeof figuresOf>) => ({
  median: p99 / goal,
  min: p99 / goal,
  max: max / goal,
  goal: { max: 1 },
});

const byChannel = figuresOf(await measured({ spreads: {} }));
const byLog = figuresOf(await measured({ keeps: {} }));
await redis.kill();
await server.stop();
const record = {
  scenario: 'revocation',
  unit: 'ms from revoke() to refusal in every process',
  machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  processes,
  rounds,
  admittedAfterwards,
  contestants: {
    'revoke() to refusal everywhere': byChannel,
    'revoke() to refusal everywhere, by the log': byLog,
  },
  ratios: {
    'p99 / 100 ms': ratioOf(byChannel),
    'p99 / 100 ms, by the log': ratioOf(byLog),
  },
};
mkdirSync(results, { recursive: true });
writeFileSync(new URL('revocation.json', results), `${JSON.stringify(record, null, 2)}\n`);
console.log(`\n${JSON.stringify(record, null, 2)}`);
process.exitCode = admittedAfterwards === 0 && Math.max(byChannel.p99, byLog.p99) <= goal ? 0 : 1;
