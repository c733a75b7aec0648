// What the clock of a process does to its revocations, and to what it hears of others.
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import {
  jwtAudience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { type Fleet, type Member, startFleet } from '../../support/fleet.js';
import { prepareLog, logSecret as secret } from '../../support/log-process.js';
import { createPki, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { startRedis } from '../../support/redis.js';

/** Seconds. Tokens of this server live for an hour, so no clock here makes one expire. */
const clocks = [-290, -20, 20, 290, 400];

describeReal('faketime', 'processes whose clocks differ', () => {
  let pki: Pki;
  let server: TestAuthorizationServer;

  beforeAll(async () => {
    pki = await createPki();
    server = await startAuthorizationServer(pki);
  });
  afterAll(() => server?.stop());

  const token = () => server.token({ ...testClients(pki).alice, resource: jwtAudience });

  async function withFleet(
    clock: number,
    use: (members: [Member, Member], start: (clock?: number) => Promise<Member>) => Promise<void>,
  ) {
    const redis = await startRedis();
    await prepareLog(redis);
    const fleets: Fleet[] = [];
    const start = async (...shifts: (number | undefined)[]): Promise<Member[]> => {
      const fleet = await startFleet({
        size: shifts.length,
        clocks: shifts.map((shift) => (shift === undefined ? undefined : `${shift < 0 ? '' : '+'}${shift}s`)),
        // A token is in its time by each of these clocks.
        options: {
          issuer: server.issuer,
          audience: jwtAudience,
          http: { ca: pki.ca.cert, timeout: 30 },
          clockTolerance: 300,
        },
        isJwt: true,
        redisUrl: redis.url,
        secret,
        keeps: {},
      });
      fleets.push(fleet);
      return [...fleet.members];
    };
    try {
      const members = (await start(undefined, clock)) as [Member, Member];
      await use(members, async (shift) => (await start(shift))[0] as Member);
    } finally {
      await Promise.all(fleets.map((fleet) => fleet.close()));
      await redis.kill();
    }
  }

  const settled = (text: string, status: number, of: readonly Member[]) =>
    vi.waitFor(
      async () => {
        const statuses = await Promise.all(of.map((member) => member.send(text, pki.alice)));
        expect(statuses).toEqual(of.map(() => status));
      },
      { timeout: 10_000, interval: 50 },
    );

  it.each(clocks)(
    '%i s: a token that either process revoked is refused by both, and by each that starts later',
    async (clock) => {
      await withFleet(clock, async (members, start) => {
        for (const member of members) {
          const [byToken, bySubject] = [await token(), await token()];
          expect(await member.revoke({ token: byToken })).toBe('spread');
          await settled(byToken, 401, members);
          expect(await member.revoke({ subject: 'alice' })).toBe('spread');
          await settled(bySubject, 401, members);
          for (const shift of [undefined, clock]) {
            const later = await start(shift);
            await settled(byToken, 401, [later]);
            await settled(bySubject, 401, [later]);
          }
        }
      });
    },
  );
});
