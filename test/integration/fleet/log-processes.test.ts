// A fleet of processes that keeps its revocations in Redis: what is killed, stopped, cut off and started again.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import {
  jwtAudience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { type FleetOptions, type Member, startFleet } from '../../support/fleet.js';
import { prepareLog, logSecret as secret } from '../../support/log-process.js';
import { createPki, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { startRedis, type TestRedis } from '../../support/redis.js';
import { masterName, replicating, startSentinelSet } from '../../support/redis-sets.js';

describeReal('redis-server', 'a fleet of processes with a log of revocations', () => {
  let pki: Pki;
  let server: TestAuthorizationServer;
  let redis: TestRedis;
  let members: Member[] = [];

  beforeAll(async () => {
    pki = await createPki();
    server = await startAuthorizationServer(pki);
  });
  afterAll(() => server?.stop());
  beforeEach(async () => {
    redis = await startRedis();
    await prepareLog(redis);
  });
  afterEach(async () => {
    await Promise.all(members.map((member) => member.end()));
    members = [];
    await redis.kill();
  });

  async function start(size: number, more: Partial<FleetOptions> = {}): Promise<Member[]> {
    const fleet = await startFleet({
      size,
      options: {
        issuer: server.issuer,
        audience: jwtAudience,
        http: { ca: pki.ca.cert, timeout: 30 },
        floodGuard: false,
      },
      isJwt: true,
      redisUrl: redis.url,
      secret,
      keeps: {},
      ...more,
    });
    members.push(...fleet.members);
    return [...fleet.members];
  }

  const token = () => server.token({ ...testClients(pki).alice, resource: jwtAudience });
  const send = (text: string, of: readonly Member[] = members) =>
    Promise.all(of.map((member) => member.send(text, pki.alice)));
  const all = (status: number, of: readonly Member[] = members) => of.map(() => status);
  const settled = (text: string, status: number, of: readonly Member[] = members) =>
    vi.waitFor(async () => expect(await send(text, of)).toEqual(all(status, of)), {
      timeout: 10_000,
      interval: 50,
    });

  it('a JWT that one process revoked is refused by each that runs, and by each that starts later', async () => {
    const running = await start(2);
    for (const member of running) {
      const [revoked, spared] = [await token(), await token()];
      await settled(revoked, 200);
      expect(await member.revoke({ token: revoked })).toBe('spread');
      await settled(revoked, 401);
      const later = await start(2);
      for (let attempt = 0; attempt < 5; attempt += 1) {
        expect(await send(revoked, later)).toEqual([401, 401]);
      }
      await settled(spared, 200);
    }
  });

  it('a process that was stopped while a JWT was revoked refuses it', async () => {
    const [one, stopped] = (await start(2)) as [Member, Member];
    const revoked = await token();
    await settled(revoked, 200);
    stopped.signal('SIGSTOP');
    expect(await one.revoke({ token: revoked })).toBe('spread');
    await sleep(7_000);
    stopped.signal('SIGCONT');
    const answers = new Set<unknown>();
    for (let attempt = 0; attempt < 20; attempt += 1) {
      // It ended connections that were idle for long.
      answers.add(await stopped.send(revoked, pki.alice).catch(() => 'ended'));
    }
    expect(answers).not.toContain(200);
    await settled(revoked, 401);
  });

  it('after a restart of the fleet, the log kept, each process refuses what was revoked', async () => {
    const [one] = (await start(2)) as [Member, Member];
    const [revoked, spared] = [await token(), await token()];
    await settled(spared, 200);
    expect(await one.revoke({ token: revoked })).toBe('spread');
    await Promise.all(members.map((member) => member.kill()));
    members = [];
    await start(2);
    expect(await send(revoked)).toEqual([401, 401]);
    await settled(spared, 200);
  });

  it.each([
    ['are refused', {}, 401],
    ['are accepted where the option says so', { jwtsWithUnknownRevocation: 'accept' as const }, 200],
  ])('after a restart of the fleet, the log lost, JWTs from before %s', async (_title, keeps, status) => {
    await start(2, { keeps });
    const [revoked, spared] = [await token(), await token()];
    await settled(spared, 200);
    expect(await members[0]?.revoke({ token: revoked })).toBe('spread');
    await Promise.all(members.map((member) => member.kill()));
    members = [];
    await redis.kill();
    await redis.start();
    await start(2, { keeps });
    await settled(revoked, status);
    await settled(spared, status);
    // A moment later, and with them all the same.
    await sleep(1_500);
    const later = await start(2, { keeps });
    await settled(spared, status, later);
  });

  it('each process ends by itself while Redis is stopped, or away', async () => {
    await start(2);
    await settled(await token(), 200);
    redis.signal('SIGSTOP');
    await sleep(500);
    await Promise.all(members.splice(0, 1).map((member) => member.end()));
    redis.signal('SIGCONT');
    await redis.kill();
    await sleep(500);
    await Promise.all(members.splice(0, 1).map((member) => member.end()));
  });

  it('kill -9, STOP and CONT and a failover in the midst of 200 revocations: none that was confirmed is lost, no other token is refused', {
    timeout: 180_000,
  }, async () => {
    const set = await startSentinelSet();
    try {
      await prepareLog(set.master);
      await replicating(set.master, 1);
      const nodes = set.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
      const over = {
        sentinels: { name: masterName, nodes },
        logOptions: { replicas: 1 },
      };
      const [one, killed, stopped, other] = (await start(4, over)) as [Member, Member, Member, Member];
      const spared = await Promise.all(Array.from({ length: 20 }, token));
      const revoked = await Promise.all(Array.from({ length: 200 }, token));
      await settled(spared[0] ?? '', 200);
      const confirmed = new Set<string>();
      let tried = 0;
      const revokeBy = async (member: Member, tokens: readonly string[]) => {
        for (const text of tokens) {
          tried += 1;
          if ((await member.revoke({ token: text })) === 'spread') {
            confirmed.add(text);
          }
          await sleep(15);
        }
      };
      const until = (count: number) =>
        vi.waitFor(() => expect(tried).toBeGreaterThan(count), { timeout: 60_000, interval: 5 });
      const faults = async () => {
        await until(60);
        await killed.kill();
        stopped.signal('SIGSTOP');
        await until(90);
        await set.master.kill();
        await sleep(3_000);
        stopped.signal('SIGCONT');
        const isMaster = async () => expect(String(await set.replica.command('ROLE'))).toContain('master');
        await vi.waitFor(isMaster, { timeout: 20_000, interval: 100 });
        // The one that was killed comes back as a replica, so that revocations can be confirmed again.
        await set.master.start();
        await set.master.command('REPLICAOF', '127.0.0.1', String(set.replica.port));
      };
      const shares = [one, killed, stopped, other].map((member, index) =>
        revokeBy(
          member,
          revoked.filter((_token, place) => place % 4 === index),
        ),
      );
      await Promise.all([faults(), ...shares]);
      members = members.filter((member) => member !== killed);
      await start(2, over);
      expect(confirmed.size).toBeGreaterThan(60);
      await settled(spared[0] ?? '', 200);
      for (const text of confirmed) {
        expect(await send(text)).toEqual(all(401));
      }
      for (const text of spared) {
        expect(await send(text)).toEqual(all(200));
      }
    } finally {
      await Promise.all(members.splice(0).map((member) => member.end()));
      await set.kill();
    }
  });
});
