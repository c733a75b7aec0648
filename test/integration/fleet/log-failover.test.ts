// A failover behind one address: open connections may stay at the old server, new ones reach the new one.
import { createClient } from '@redis/client';
import { expect, it, vi } from 'vitest';
import { createLogFleet, logStream, useLogSuite } from '../../support/log-process.js';
import { describeReal } from '../../support/programs.js';
import { startRedis, type TestRedis } from '../../support/redis.js';
import { startWire } from '../../support/severable-wire.js';

/** Seconds: the time to the next heartbeat, maxAgeWhileUnsynced, and a second of reading. */
const NOTICED_WITHIN = 25 + 5 + 1;

/** Ends the connections of the clients of the log that do not wait for entries just now. */
async function endWritingConnections(redis: TestRedis): Promise<void> {
  const clients = String(await redis.command('CLIENT', 'LIST', 'TYPE', 'normal'))
    .trim()
    .split('\n');
  for (const client of clients.filter((line) => !/ cmd=(xread|client)/.test(line))) {
    const [, id = ''] = /^id=(\d+)/.exec(client) ?? [];
    await redis.command('CLIENT', 'KILL', 'ID', id);
  }
}

const lengthAt = (redis: TestRedis) => redis.command('XLEN', logStream);

describeReal('redis-server', 'a failover behind one address', () => {
  const suite = useLogSuite();

  it('has a process that reads the old server accept no revoked JWT for longer than documented, and loses no revocation', async () => {
    const { issuer, redis: old, problems } = suite;
    const elected = await startRedis({ options: ['--replicaof', '127.0.0.1', `${old.port}`] });
    const wire = await startWire(old.port);
    const url = `redis://127.0.0.1:${wire.port}`;
    const fleet = createLogFleet(
      () => createClient({ url, socket: { reconnectStrategy: 100 } }),
      issuer.forJwts,
    );
    try {
      const [revokedBefore, revoked, good] = await Promise.all([61, 62, 63].map((age) => issuer.jwt(age)));
      const [stays, leaves] = [await fleet.start(), await fleet.start()];
      await fleet.settled(good as string, 'admitted');
      expect(await stays.revoke({ token: revokedBefore as string })).toBe('kept');
      await fleet.settled(revokedBefore as string, 'token_inactive');
      const isReplicated = async () => expect(await lengthAt(elected)).toBe(await lengthAt(old));
      await vi.waitFor(isReplicated, 5_000);

      await elected.command('REPLICAOF', 'NO', 'ONE');
      wire.leadTo(elected.port);
      await fleet.close([leaves]);
      await endWritingConnections(old);
      const comes = await fleet.start();
      await fleet.settled(good as string, 'admitted', [comes]);
      expect(await comes.revoke({ token: revoked as string })).toBe('kept');
      const revokedAt = performance.now();
      // It does not know yet.
      expect(await stays.ask(revoked as string)).toBe('admitted');
      let noticedAt = 0;
      const ofRevokedBefore = fleet.watch(revokedBefore as string);
      const isNoticed = async () => {
        expect(await stays.ask(revoked as string)).not.toBe('admitted');
        noticedAt ||= performance.now();
      };
      await vi.waitFor(isNoticed, { timeout: 60_000, interval: 50 });
      expect((noticedAt - revokedAt) / 1000).toBeLessThan(NOTICED_WITHIN);
      const answers = new Set<string>();
      const isBack = async () => {
        answers.add(await stays.ask(revoked as string));
        expect(await stays.ask(good as string)).toBe('admitted');
      };
      await vi.waitFor(isBack, { timeout: 10_000, interval: 20 });
      expect(answers).not.toContain('admitted');
      expect([...(await ofRevokedBefore())]).not.toContain('admitted');
      const later = await fleet.start();
      await fleet.settled(good as string, 'admitted', [later]);
      expect(await fleet.ask(revokedBefore as string)).toEqual(fleet.processes.map(() => 'token_inactive'));
      expect(await fleet.ask(revoked as string)).toEqual(fleet.processes.map(() => 'token_inactive'));
      expect(problems.map(({ code }) => code)).not.toContain('revocations_log_incomplete');
    } finally {
      await fleet.close();
      await wire.close();
      await elected.kill();
    }
  }, 120_000);
});
