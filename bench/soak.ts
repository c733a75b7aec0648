// Full speed with faults that come and go: two processes, one Redis, one authorization server behind a fault injector. An
// oracle knows of each token whose it is and when it was revoked, and judges each answer. Ten minutes unless told:
// SOAK_SECONDS=60 npm run bench soak
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { audience, startAuthorizationServer, testClients } from '../test/support/authorization-server.js';
import { type Fault, startFaultInjector } from '../test/support/fault-injector.js';
import { type Member, startFleet } from '../test/support/fleet.js';
import { createPki, type Identity } from '../test/support/pki.js';
import { startRedis } from '../test/support/redis.js';

console.info = console.warn = () => undefined;
const seconds = Number(process.env.SOAK_SECONDS ?? 600);
const maxAge = 2;
const timeout = 0.5;
const inFlight = 32;
/** How long each state of things lasts, in milliseconds. */
const spell = 3_000;
const faults: readonly (Fault | 'killed' | 'Redis killed')[] = [
  'none',
  'latency',
  'none',
  'stall after headers',
  'none',
  'black hole',
  'none',
  'reset',
  'none',
  'trickle',
  'none',
  'truncated',
  'none',
  'killed',
  'none',
  'Redis killed',
];

interface Known {
  readonly token: string;
  readonly owner: Identity;
  /** Once it may be refused. */
  isDoomed?: true;
  /** When the authorization server had forgotten it, by the monotonic clock. */
  revokedAt?: number;
}

const pki = await createPki();
const [server, redis] = await Promise.all([startAuthorizationServer(pki), startRedis()]);
const injector = await startFaultInjector(pki, server.issuer);
const fleet = await startFleet({
  size: 2,
  redisUrl: redis.url,
  secret: 'a secret of at least 32 characters',
  shares: {},
  spreads: { maxAgeWhileUnsynced: 1 },
  options: {
    issuer: server.issuer,
    authorizationServerMetadata: { introspection_endpoint: `${injector.url}/token/introspection` },
    clientId: 'api',
    clientSecret: server.secrets.api,
    audience,
    // Full within the first minute: what grows afterwards is a leak.
    cache: { maxAge, maxEntries: 500 },
    http: { ca: pki.ca.cert, timeout },
    circuitBreaker: { retryInterval: 0.3 },
  },
});
const clients = testClients(pki);
const owners = [clients.alice, clients.bob] as const;
const tokens: Known[] = [];
const counts = new Map<string, number>();
const wrong: string[] = [];
const heaps: number[] = [];
let letIn = 0;
let isOver = false;
let isDown = false;
let current = 'none';

const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

/** New tokens come and old ones are revoked all the while. */
async function life(): Promise<void> {
  while (!isOver) {
    if (!isDown) {
      const client = pick(owners);
      await server
        .token(client)
        .then((token) => tokens.push({ token, owner: client.identity }))
        .catch(() => undefined);
      if (tokens.length > 200) {
        tokens.splice(0, 50);
      }
      const victim = Math.random() < 0.3 ? pick(tokens) : undefined;
      if (victim !== undefined && victim.isDoomed === undefined) {
        victim.isDoomed = true;
        const owner = owners.find(({ identity }) => identity === victim.owner) ?? clients.alice;
        await server
          .revoke(owner, victim.token)
          .then(() => {
            victim.revokedAt = performance.now();
          })
          .catch(() => undefined);
        if (Math.random() < 0.5) {
          // Also told to the fleet: refused at once where it was heard.
          const outcome = await pick(fleet.members).revoke({ token: victim.token });
          count(`revocation ${outcome}`);
        }
      }
    }
    await sleep(20);
  }
}

async function faultsComeAndGo(): Promise<void> {
  for (let i = 0; !isOver; i += 1) {
    const fault = faults[i % faults.length] ?? 'none';
    current = fault;
    if (fault === 'killed') {
      isDown = true;
      await server.stop();
      await sleep(spell);
      await server.start();
      isDown = false;
    } else if (fault === 'Redis killed') {
      await redis.kill();
      await sleep(spell);
      await redis.start();
    } else {
      injector.fault = fault;
      await sleep(spell);
      injector.fault = 'none';
    }
  }
}

async function client(member: Member): Promise<void> {
  while (!isOver) {
    const kind = Math.random();
    const known = tokens.length > 0 ? pick(tokens) : undefined;
    if (known === undefined || kind < 0.05) {
      // From a certificate of its own, as a flood would: it is limited, the others are not.
      await judge(member, 'made up', `made-up-${Math.random()}`, pki.selfSignedEc, () => [401, 429, 503]);
    } else if (kind < 0.25) {
      const thief = known.owner === pki.alice ? pki.bob : pki.alice;
      await judge(member, 'stolen', known.token, thief, () => [401, 503]);
    } else {
      const sentAt = performance.now();
      await judge(
        member,
        'own',
        known.token,
        known.owner,
        () => {
          const since = known.revokedAt === undefined ? 0 : sentAt - known.revokedAt;
          // What was learnt just before the revocation may serve for maxAge.
          const mustBeRefused = known.revokedAt !== undefined && since > (maxAge + 2 * timeout) * 1000;
          const mayBeRefused = known.isDoomed === true;
          return mustBeRefused ? [401, 503] : mayBeRefused ? [200, 401, 503] : [200, 503];
        },
        known,
      );
    }
  }
}

async function judge(
  member: Member,
  kind: string,
  token: string,
  identity: Identity,
  allowed: () => readonly number[],
  known?: Known,
): Promise<void> {
  const start = performance.now();
  const status = await member.send(token, identity);
  const taken = (performance.now() - start) / 1000;
  count(`${kind} ${status}`);
  letIn += status === 200 ? 1 : 0;
  if (!allowed().includes(status)) {
    wrong.push(
      `${kind}: ${status} after ${taken.toFixed(2)} s, during ${current}${known?.revokedAt === undefined ? '' : `, revoked ${((start - known.revokedAt) / 1000).toFixed(2)} s before`}`,
    );
  }
  if (taken > 8) {
    wrong.push(`${kind}: ${taken.toFixed(1)} s, during ${current}`);
  }
}

const watch = setInterval(async () => {
  const measured = await Promise.all(fleet.members.map((member) => member.measure()));
  heaps.push(Math.max(...measured.map(({ heapUsed }) => heapUsed)));
  const total = [...counts.values()].reduce((sum, one) => sum + one, 0);
  console.log(
    `${heaps.length * 10} s, ${total} requests, ${wrong.length} wrong, heap ${(heaps.at(-1) ?? 0) / 1e6} MB`,
  );
}, 10_000);
setTimeout(() => {
  isOver = true;
}, seconds * 1000);
await Promise.all([
  life(),
  faultsComeAndGo(),
  ...fleet.members.flatMap((member) => Array.from({ length: inFlight }, () => client(member))),
]);
clearInterval(watch);
await sleep(1_000);
const handled = (await Promise.all(fleet.members.map((member) => member.measure()))).reduce(
  (sum, one) => sum + one.handled,
  0,
);
await fleet.close();
await injector.close();
await redis.kill();
await server.stop();

const half = Math.floor(heaps.length / 2);
const worst = (list: readonly number[]) => Math.max(...list);
const growth = Number((worst(heaps.slice(half)) / worst(heaps.slice(0, half))).toFixed(3));
const record = {
  scenario: 'soak',
  unit: 'the largest heap of the second half over that of the first',
  machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  seconds,
  rounds: heaps.length,
  answers: Object.fromEntries([...counts].toSorted()),
  letIn: { bySelf: handled, seenByClients: letIn },
  wrong: wrong.length,
  contestants: {
    heap: { median: heaps.toSorted((a, b) => a - b)[half], min: Math.min(...heaps), max: worst(heaps) },
  },
  ratios: {
    'heap, second half / first half': { median: growth, min: growth, max: growth, goal: { max: 1.1 } },
    'wrong answers': { median: wrong.length, min: wrong.length, max: wrong.length, goal: { max: 0 } },
    'handlers run / answers 200 seen': {
      median: handled / letIn,
      min: handled / letIn,
      max: handled / letIn,
      goal: { min: 1, max: 1 },
    },
  },
};
mkdirSync(new URL('results/', import.meta.url), { recursive: true });
writeFileSync(new URL('results/soak.json', import.meta.url), `${JSON.stringify(record, null, 2)}\n`);
console.log(JSON.stringify(record, null, 2), [...new Set(wrong)].slice(0, 20));
process.exitCode = wrong.length === 0 && handled === letIn && growth <= 1.1 ? 0 : 1;
