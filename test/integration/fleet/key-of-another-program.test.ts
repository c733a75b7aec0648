// A wrong `name` of redisLog() may be the key of another program, which stays as it is.
import { createClient } from '@redis/client';
import { expect, it, vi } from 'vitest';
import { createLogFleet, logStream as stream, useLogSuite } from '../../support/log-process.js';
import { describeReal } from '../../support/programs.js';

describeReal('redis-server', 'a key that is no log when a process starts', () => {
  const suite = useLogSuite();

  it('stays as it is, and each JWT gets 503 until the name is another one', async () => {
    await suite.redis.command('DEL', stream);
    await suite.redis.command('HSET', stream, 'cart', 'of a shop');
    const fleet = createLogFleet(() => createClient({ url: suite.redis.url }), suite.issuer.forJwts);
    suite.fleet = fleet;
    const one = await fleet.start();
    await vi.waitFor(() => expect(suite.problems.length).toBeGreaterThan(0), { timeout: 5_000 });
    expect(suite.problems.map(({ message }) => message).join()).toContain('give redisLog() another name');
    expect(await one.ask(await suite.issuer.jwt(60))).toBe('revocations_unknown');
    expect(await suite.redis.command('HGET', stream, 'cart')).toBe('of a shop');
  });
});
