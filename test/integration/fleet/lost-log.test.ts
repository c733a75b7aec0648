// What becomes of JWTs and of shared answers where Redis lost the log of revocations, or does not answer.
import { type ResourceServerOptions, redisLog } from '@mtls-bound/core';
import { createClient } from '@redis/client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { type GuardedApi, guardedApi } from '../../support/guarded-api.js';
import { logSecret, logStream, useLogSuite } from '../../support/log-process.js';
import { describeReal } from '../../support/programs.js';

type Framework = (typeof frameworks)[number];

describeReal('redis-server', 'a log of revocations that is lost', () => {
  const suite = useLogSuite();
  const ends: (() => Promise<void>)[] = [];

  afterEach(async () => {
    suite.redis.signal('SIGCONT');
    await endAll();
  });

  async function endAll(): Promise<void> {
    await Promise.all(ends.splice(0).map((end) => end()));
  }

  async function start(
    framework: Framework,
    options: ResourceServerOptions,
    jwtsWithUnknownRevocation: 'accept' | 'refuse' = 'refuse',
  ): Promise<GuardedApi> {
    const client = createClient({ url: suite.redis.url, socket: { reconnectStrategy: 100 } });
    client.on('error', () => undefined);
    await client.connect();
    const api = guardedApi(framework, {
      ...options,
      revocations: {
        log: redisLog(client),
        secret: logSecret,
        maxAgeWhileUnsynced: 2,
        jwtsWithUnknownRevocation,
        ...(jwtsWithUnknownRevocation === 'refuse' && { maxWait: 0.2 }),
      },
    });
    ends.push(async () => {
      await api.server.close();
      client.destroy();
    });
    return api;
  }

  const settled = (api: GuardedApi, token: string, status: number) =>
    vi.waitFor(async () => expect(await api.status(token)).toBe(status), { timeout: 10_000, interval: 50 });
  const askedAbout = (token: string) => suite.issuer.asked(token);

  /** Waits until JWTs are used without a question. */
  const hears = (api: GuardedApi) =>
    vi.waitFor(
      async () => {
        const token = await suite.issuer.jwt(60);
        expect(await api.status(token)).toBe(200);
        expect(askedAbout(token)).toBe(0);
      },
      { timeout: 10_000, interval: 50 },
    );

  describe.each(frameworks)('%s', (framework) => {
    it.each<[string, () => Promise<unknown>]>([
      [
        'that Redis lost while no process ran',
        async () => {
          await endAll();
          await suite.redis.command('FLUSHALL');
        },
      ],
      [
        'that Redis cut while a process ran',
        async () => suite.redis.command('XTRIM', logStream, 'MAXLEN', '1'),
      ],
    ])(
      'a process that starts with a log %s asks about JWTs from before, and refuses them where it can ask no server',
      async (_title, harm) => {
        const before = await start(framework, suite.issuer.forJwtsAndQuestions);
        const [good, revoked] = [await suite.issuer.jwt(60), await suite.issuer.jwt(61)];
        await hears(before);
        expect(await before.status(good)).toBe(200);
        await before.server.revoke({ token: revoked });
        await before.server.revoke({ subject: 'another' });
        suite.issuer.inactive.add(revoked);
        await harm();
        const asking = await start(framework, suite.issuer.forJwtsAndQuestions);
        await settled(asking, good, 200);
        expect(await asking.status(revoked)).toBe(401);
        expect(askedAbout(good)).toBeGreaterThan(0);
        expect(askedAbout(revoked)).toBeGreaterThan(0);
        const silent = await start(framework, suite.issuer.forJwts);
        await settled(silent, good, 401);
        expect(await silent.status(revoked)).toBe(401);
      },
    );

    it.each<[string, 'forJwts' | 'forJwtsAndQuestions', 'accept' | 'refuse', number[], boolean]>([
      ['asks about JWTs where it can', 'forJwtsAndQuestions', 'refuse', [200, 401], true],
      ["answers 503 with jwtsWithUnknownRevocation: 'refuse'", 'forJwts', 'refuse', [503, 503], false],
      ["accepts them with jwtsWithUnknownRevocation: 'accept'", 'forJwts', 'accept', [200, 200], false],
    ])(
      'a process that can not read the log %s',
      async (_title, options, jwtsWithUnknownRevocation, [ofGood = 0, ofRevoked = 0], isAsked) => {
        const api = await start(framework, suite.issuer[options], jwtsWithUnknownRevocation);
        const [good, revoked] = [await suite.issuer.jwt(60), await suite.issuer.jwt(61)];
        await hears(api);
        expect(await api.status(good)).toBe(200);
        expect(askedAbout(good)).toBe(0);
        suite.issuer.inactive.add(revoked);
        suite.redis.signal('SIGSTOP');
        await vi.waitFor(
          () => expect(suite.problems.map(({ code }) => code)).toContain('revocations_unsynced'),
          {
            timeout: 10_000,
          },
        );
        await settled(api, good, ofGood);
        await settled(api, revoked, ofRevoked);
        expect(askedAbout(good) > 0).toBe(isAsked);
      },
    );

    it.each<[string, boolean, number]>([
      ['uses what another one shared while the log is there', false, 1],
      ['asks about what another one shared before the log was lost', true, 2],
    ])('a process %s', async (title, isLost, asked) => {
      const stored = new Map<string, string>();
      const store = {
        get: async (key: string) => stored.get(key),
        set: async (key: string, value: string) => stored.set(key, value),
      };
      const options = {
        ...suite.issuer.forOpaque,
        sharedCache: { store, secret: logSecret },
        clockTolerance: 0,
      };
      const [one, other] = [await start(framework, options), await start(framework, options)];
      const token = `${framework} ${title}`.replace(/\W/g, '-');
      let number = 0;
      const share = () =>
        vi.waitFor(
          async () => {
            number += 1;
            const another = `${token}-${number}`;
            expect([await one.status(another), await other.status(another)]).toEqual([200, 200]);
            expect(askedAbout(another)).toBe(1);
          },
          { timeout: 20_000, interval: 100 },
        );
      await share();
      expect(await one.status(token)).toBe(200);
      expect(askedAbout(token)).toBe(1);
      if (isLost) {
        await suite.redis.command('FLUSHALL');
        const codes = () => suite.problems.filter(({ code }) => code === 'revocations_log_incomplete');
        await vi.waitFor(() => expect(codes()).toHaveLength(2), { timeout: 10_000 });
        // They read the log again, and use what is asked from now on.
        await share();
      }
      expect(await other.status(token)).toBe(200);
      expect(askedAbout(token)).toBe(asked);
    });
  });
});
