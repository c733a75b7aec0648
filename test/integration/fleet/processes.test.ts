import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { type Fleet, type FleetOptions, type Member, startFleet } from '../../support/fleet.js';
import { createPki, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { startRedis, type TestRedis } from '../../support/redis.js';

const secret = 'a secret of at least 32 characters';

describeReal('redis-server', 'a fleet of processes, with Redis', () => {
  let pki: Pki;
  let server: TestAuthorizationServer;
  let redis: TestRedis;
  let fleet: Fleet | undefined;

  beforeAll(async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    pki = await createPki();
    [server, redis] = await Promise.all([startAuthorizationServer(pki), startRedis()]);
  });
  afterAll(async () => {
    await redis?.kill();
    await server?.stop();
  });
  afterEach(async () => {
    await fleet?.close();
    fleet = undefined;
  });

  const start = async (size: number, more: Partial<FleetOptions> = {}): Promise<Fleet> => {
    fleet = await startFleet({
      size,
      options: {
        issuer: server.issuer,
        clientId: 'api',
        clientSecret: server.secrets.api,
        audience,
        http: { ca: pki.ca.cert, timeout: 30 },
      },
      redisUrl: redis.url,
      secret,
      ...more,
    });
    return fleet;
  };

  describe('8 processes get 5,000 requests within a second for 200 new tokens', () => {
    async function herd(more: Partial<FleetOptions>): Promise<{ counts: number[]; statuses: Set<number> }> {
      const { members } = await start(8, more);
      const { alice } = testClients(pki);
      const tokens: string[] = [];
      for (let i = 0; i < 200; i += 1) {
        tokens.push(await server.token(alice));
      }
      const answers: Promise<number>[] = [];
      const begin = performance.now();
      while (answers.length < 5_000) {
        const due = Math.min(5_000, 5 * (performance.now() - begin));
        for (let i = answers.length; i < due; i += 1) {
          const member = members[i % members.length] as Member;
          answers.push(member.send(tokens[Math.floor(i / 8) % 200] ?? '', pki.alice));
        }
        await sleep(4);
      }
      const statuses = await Promise.all(answers);
      return {
        counts: tokens.map((token) => server.introspections(token)),
        statuses: new Set(statuses),
      };
    }

    it('each process asks about each token once at most', async () => {
      const { counts, statuses } = await herd({});
      expect(statuses).toEqual(new Set([200]));
      expect(Math.max(...counts)).toBeLessThanOrEqual(8);
    });

    it('with the shared cache all of them together ask 1.2 times at most', async () => {
      // Ten busy processes on two cores are late, Redis and the authorization server among them: that is no reason to ask twice.
      const { counts, statuses } = await herd({ shares: { timeout: 5, lockTimeout: 20 } });
      expect(statuses).toEqual(new Set([200]));
      const asked = counts.reduce((sum, count) => sum + count, 0);
      expect(asked).toBeGreaterThanOrEqual(200);
      expect(asked / 200).toBeLessThanOrEqual(1.2);
    });
  });

  it.each([
    ['process', false],
    ['worker thread', true],
  ])('what one %s revokes none lets in any more', async (_title, threads) => {
    const { members } = await start(4, { threads, shares: {}, spreads: {} });
    const { alice } = testClients(pki);
    const send = (token: string) => Promise.all(members.map((member) => member.send(token, pki.alice)));
    for (const [index, member] of members.entries()) {
      const token = await server.token(alice);
      const spared = await server.token(alice);
      expect(await send(token)).toEqual([200, 200, 200, 200]);
      expect(await send(spared)).toEqual([200, 200, 200, 200]);
      await server.revoke(alice, token);
      const revocation = index % 2 === 0 ? { token } : { thumbprint: pki.alice.thumbprint };
      expect(await member.revoke(revocation)).toBe('spread');
      await vi.waitFor(async () => expect(await send(token)).toEqual([401, 401, 401, 401]), {
        timeout: 2_000,
      });
      for (let i = 0; i < 10; i += 1) {
        expect(await send(token)).toEqual([401, 401, 401, 401]);
      }
      expect(await send(spared)).toEqual([200, 200, 200, 200]);
    }
  });

  it('who joins later does not learn from the store what was revoked before', async () => {
    const { members } = await start(2, { shares: {}, spreads: {} });
    const { alice } = testClients(pki);
    const token = await server.token(alice);
    expect(await members[0]?.send(token, pki.alice)).toBe(200);
    await server.revoke(alice, token);
    expect(await members[1]?.revoke({ subject: 'alice' })).toBe('spread');
    const late = await startFleet({
      size: 1,
      options: {
        issuer: server.issuer,
        clientId: 'api',
        clientSecret: server.secrets.api,
        audience,
        http: { ca: pki.ca.cert },
      },
      redisUrl: redis.url,
      secret,
      shares: {},
      spreads: {},
    });
    try {
      for (let i = 0; i < 20; i += 1) {
        expect(await late.members[0]?.send(token, pki.alice)).toBe(401);
        await sleep(10);
      }
    } finally {
      await late.close();
    }
  });

  it('while the channel is interrupted, cached answers are used for a moment only, and each token is introspected again when it is back', async () => {
    const { members } = await start(2, { spreads: { maxAgeWhileUnsynced: 0.5 } });
    const { alice } = testClients(pki);
    const token = await server.token(alice);
    const send = () => Promise.all(members.map((member) => member.send(token, pki.alice)));
    // An answer is kept for longer than a moment as soon as both have joined the channel.
    await vi.waitFor(
      async () => {
        expect(await send()).toEqual([200, 200]);
        const asked = server.introspections(token);
        expect(await send()).toEqual([200, 200]);
        expect(server.introspections(token)).toBe(asked);
      },
      { timeout: 10_000 },
    );
    await redis.kill();
    await server.revoke(alice, token);
    // It can't be told to anybody, and says so; here it counts.
    expect(await members[0]?.revoke({ token })).toBe('revocation_not_spread');
    expect(await members[0]?.send(token, pki.alice)).toBe(401);
    await vi.waitFor(async () => expect(await members[1]?.send(token, pki.alice)).toBe(401), {
      timeout: 3_000,
      interval: 50,
    });
    await redis.start();
    const next = await server.token(alice);
    await vi.waitFor(
      async () => {
        await members[1]?.send(next, pki.alice);
        const before = server.introspections(next);
        await sleep(700);
        expect(await members[1]?.send(next, pki.alice)).toBe(200);
        expect(server.introspections(next)).toBe(before);
      },
      { timeout: 15_000, interval: 100 },
    );
  });
});
