// Many proofs over a fleet and one Redis: each counts once in all processes, and none is refused that is fresh.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { dpopClient } from '../../support/dpop-client.js';
import { describeReal } from '../../support/programs.js';
import { startRedis, type TestRedis } from '../../support/redis.js';

/** How many proofs are made. PROOFS=5000 makes fewer. */
const total = Number(process.env.PROOFS ?? (process.env.REQUIRE_REAL ? 100_000 : 20_000));
const batchSize = 2_000;
const program = fileURLToPath(new URL('../../support/dpop-process.mjs', import.meta.url));

type Request = readonly [token: string, proof: string];

describeReal('redis-server', 'a fleet of 8 processes with one Redis', () => {
  let redis: TestRedis;
  let members: ChildProcess[] = [];

  beforeAll(async () => {
    redis = await startRedis();
    members = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const framework = frameworks[index % 2] as string;
        const member = fork(program, [framework, redis.url], { execArgv: ['--no-warnings'] });
        await once(member, 'message');
        return member;
      }),
    );
  });
  afterAll(async () => {
    const codes = members.map(async (member) => {
      const exited = once(member, 'exit');
      member.send('close');
      return (await exited)[0] as unknown;
    });
    expect(await Promise.all(codes)).toEqual(members.map(() => 0));
    await redis?.kill();
  });

  async function outcomesOf(member: ChildProcess, batch: readonly Request[]): Promise<string[]> {
    const answered = once(member, 'message');
    member.send(batch);
    const [outcomes] = (await answered) as [string[]];
    return outcomes;
  }

  it(`of ${total} proofs, one in ten sent to two processes at once, each is accepted once`, {
    timeout: 300_000,
  }, async () => {
    const clients = Array.from({ length: 100 }, () => {
      const { jkt, proof } = dpopClient();
      const token = `${jkt}.token`;
      return (): Request => [token, proof(token)];
    });
    /** Sends a batch to the fleet. Returns what came of each proof, in the processes that got it. */
    async function send(requests: readonly Request[], from: number): Promise<string[][]> {
      const batches: Request[][] = members.map(() => []);
      const places = requests.map((request, index) => {
        const first = (from + index) % 8;
        // Every other process in turn.
        const second = (first + 1 + (Math.floor(index / 10) % 7)) % 8;
        return (index % 10 === 0 ? [first, second] : [first]).map((member) => {
          const batch = batches[member] as Request[];
          batch.push(request);
          return [member, batch.length - 1] as const;
        });
      });
      const outcomes = await Promise.all(
        members.map((member, index) => outcomesOf(member, batches[index] as Request[])),
      );
      return places.map((of) => of.map(([member, at]) => outcomes[member]?.[at] as string));
    }

    const counts = new Map<string, number>();
    const later: Request[] = [];
    let sending: Promise<void> | undefined;
    for (let made = 0; made < total; made += batchSize) {
      const count = Math.min(batchSize, total - made);
      // Made while the fleet works on those before.
      const requests = Array.from({ length: count }, (_, index) =>
        (clients[(made + index) % clients.length] as () => Request)(),
      );
      later.push(...requests.slice(0, 10));
      await sending;
      sending = send(requests, made / batchSize).then((outcomes) => {
        for (const outcome of outcomes) {
          const name = outcome.toSorted().join(', ');
          counts.set(name, (counts.get(name) ?? 0) + 1);
        }
      });
    }
    await sending;
    expect(Object.fromEntries(counts)).toEqual({
      accepted: total - total / 10,
      'accepted, dpop_proof_replayed': total / 10,
    });
    // And in no process afterwards.
    const replays = await Promise.all(members.map((member) => outcomesOf(member, later)));
    expect(new Set(replays.flat())).toEqual(new Set(['dpop_proof_replayed']));
  });
});
