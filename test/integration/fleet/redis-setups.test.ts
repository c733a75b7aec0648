// The log of revocations over Redis as people run it: TLS, Sentinel, Cluster, replicas, bounded memory, on disk.
import { createClient, createCluster, createSentinel } from '@redis/client';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RedisLogOptions } from '../../../packages/core/src/redis/redis.js';
import {
  createIssuer,
  createLogFleet,
  type LogFleet,
  logStream,
  prepareLog,
  type TokenIssuer,
} from '../../support/log-process.js';
import { createPki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { startRedis, type TestRedis } from '../../support/redis.js';
import {
  agreeing,
  masterName,
  replicating,
  startCluster,
  startSentinelSet,
} from '../../support/redis-sets.js';

type Clients = Parameters<typeof createLogFleet>[0];

describeReal('redis-server', 'the log of revocations', () => {
  let issuer: TokenIssuer;
  let running: { kill(): Promise<void> }[] = [];
  let fleets: LogFleet[] = [];
  const problems = recordedEvents<{ code: string; message: string }>('mtls-bound:problem');

  beforeAll(async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    issuer = await createIssuer();
  });
  afterAll(() => vi.restoreAllMocks());
  afterEach(async () => {
    await Promise.all(fleets.map((fleet) => fleet.close()));
    await Promise.all(running.map((redis) => redis.kill()));
    [running, fleets] = [[], []];
  });

  const run = <T extends { kill(): Promise<void> }>(...started: T[]): T[] => {
    running.push(...started);
    return started;
  };
  const fleetOver = (clients: Clients, redisOptions: RedisLogOptions = {}): LogFleet => {
    const fleet = createLogFleet(clients, issuer.forJwts, {}, redisOptions);
    fleets.push(fleet);
    return fleet;
  };

  /** What holds in each set-up: a revocation by one process is known to one that runs, and to one that starts. */
  async function keepsRevocations(fleet: LogFleet): Promise<string> {
    const [good, revoked] = [await issuer.jwt(60), await issuer.jwt(61)];
    const first = fleet.processes[0] ?? (await fleet.start());
    await fleet.start();
    await fleet.settled(good, 'admitted');
    await vi.waitFor(async () => expect(await first.revoke({ token: revoked })).toBe('kept'), {
      timeout: 10_000,
    });
    await fleet.settled(revoked, 'token_inactive');
    const later = await fleet.start();
    expect(await later.ask(revoked)).toBe('token_inactive');
    await fleet.settled(good, 'admitted');
    return revoked;
  }

  it('is kept over TLS with a CA of its own', async () => {
    const pki = await createPki();
    const [redis] = run(await startRedis({ tls: pki })) as [TestRedis];
    await prepareLog(redis);
    const socket = { tls: true as const, ca: pki.ca.cert };
    await keepsRevocations(fleetOver(() => createClient({ url: redis.url, socket })));
    expect(problems).toEqual([]);
  });

  it.each([2, 3] as const)('is kept by a client of protocol %i', async (RESP) => {
    const [redis] = run(await startRedis()) as [TestRedis];
    await prepareLog(redis);
    await keepsRevocations(fleetOver(() => createClient({ url: redis.url, RESP })));
    expect(problems).toEqual([]);
  });

  it('is kept in a Cluster, and no connection is left behind', async () => {
    const nodes = run(...(await startCluster(3)));
    const clusterClient = () =>
      createCluster({
        rootNodes: nodes.map(({ url }) => ({ url })),
        defaults: { socket: { reconnectStrategy: 100 } },
      });
    const client = await clusterClient()
      .on('error', () => undefined)
      .connect();
    await prepareLog({ command: (...args) => client.sendCommand(args[1], false, args) });
    client.destroy();
    const fleet = fleetOver(clusterClient);
    await keepsRevocations(fleet);
    expect(problems).toEqual([]);
    await fleet.close();
    for (const node of nodes) {
      await vi.waitFor(async () => expect(await node.connections()).toBe(0));
    }
  });

  it('is kept through a failover in a Cluster where a replica has to have it', async () => {
    const [master] = run(...(await startCluster(1))) as [TestRedis];
    const options = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'];
    const [replica] = run(await startRedis({ options })) as [TestRedis];
    await replica.command('CLUSTER', 'MEET', '127.0.0.1', String(master.port));
    await agreeing([master, replica]);
    const id = String(await master.command('CLUSTER', 'MYID'));
    await vi.waitFor(async () => expect(await replica.command('CLUSTER', 'REPLICATE', id)).toBe('OK'));
    await replicating(master, 1);
    await prepareLog(master);
    const rootNodes = [{ url: master.url }, { url: replica.url }];
    const defaults = { socket: { reconnectStrategy: 100 } };
    const fleet = fleetOver(() => createCluster({ rootNodes, defaults }), { replicas: 1 });
    const revoked = await keepsRevocations(fleet);
    const revokedIs = fleet.watch(revoked);
    await master.kill();
    await replica.command('CLUSTER', 'FAILOVER', 'TAKEOVER');
    await fleet.settled(revoked, 'token_inactive');
    const later = await fleet.start();
    await vi.waitFor(async () => expect(await later.ask(revoked)).toBe('token_inactive'), {
      timeout: 10_000,
    });
    expect(await revokedIs()).not.toContain('admitted');
    // No replica is left.
    expect(await later.revoke({ subject: 'another' })).toBe('revocation_not_spread');
  });

  it('is kept through a failover by Sentinel where a replica has to have it', {
    timeout: 60_000,
  }, async () => {
    const [set] = run(await startSentinelSet());
    if (set === undefined) {
      return;
    }
    await prepareLog(set.master);
    await replicating(set.master, 1);
    const sentinelRootNodes = set.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
    const client = () =>
      createSentinel({ name: masterName, sentinelRootNodes, replicaPoolSize: 1, masterPoolSize: 2 });
    const fleet = fleetOver(client as unknown as Clients, { replicas: 1 });
    const revoked = await keepsRevocations(fleet);
    const good = await issuer.jwt(60);
    const revokedIs = fleet.watch(revoked);
    await set.master.kill();
    const isMaster = async () => expect(String(await set.replica.command('ROLE'))).toContain('master');
    await vi.waitFor(isMaster, { timeout: 20_000, interval: 100 });
    await fleet.settled(good, 'admitted');
    const later = await fleet.start();
    await vi.waitFor(async () => expect(await later.ask(revoked)).toBe('token_inactive'), {
      timeout: 10_000,
    });
    await fleet.settled(good, 'admitted');
    expect(await revokedIs()).not.toContain('admitted');
    expect(await later.revoke({ subject: 'another' })).toBe('revocation_not_spread');
  });

  describe('with replicas', () => {
    it('rejects a revocation that too few have, and confirms it when they are back', async () => {
      const [master] = run(await startRedis()) as [TestRedis];
      const [replica] = run(
        await startRedis({ options: ['--replicaof', '127.0.0.1', `${master.port}`] }),
      ) as [TestRedis];
      await replicating(master, 1);
      await prepareLog(master);
      const fleet = fleetOver(() => createClient({ url: master.url }), { replicas: 1 });
      const one = await fleet.start();
      const [good, revoked] = [await issuer.jwt(60), await issuer.jwt(61)];
      await fleet.settled(good, 'admitted');
      replica.signal('SIGSTOP');
      expect(await one.revoke({ token: revoked })).toBe('revocation_not_spread');
      expect(await one.ask(revoked)).toBe('token_inactive');
      replica.signal('SIGCONT');
      await vi.waitFor(async () => expect(await one.revoke({ token: revoked })).toBe('kept'), {
        timeout: 5_000,
      });
      expect(await one.ask(good)).toBe('admitted');
    });

    it('loses a revocation at a failover that no replica has to have', async () => {
      const [master] = run(await startRedis()) as [TestRedis];
      const [replica] = run(
        await startRedis({ options: ['--replicaof', '127.0.0.1', `${master.port}`] }),
      ) as [TestRedis];
      await replicating(master, 1);
      await prepareLog(master);
      const revoked = await issuer.jwt(61);
      const fleet = fleetOver(() => createClient({ url: master.url }));
      const one = await fleet.start();
      await fleet.settled(await issuer.jwt(60), 'admitted');
      await replicating(master, 1);
      await replica.command('REPLICAOF', 'NO', 'ONE');
      expect(await one.revoke({ token: revoked })).toBe('kept');
      await fleet.close();
      await master.kill();
      const later = await fleetOver(() => createClient({ url: replica.url })).start();
      await vi.waitFor(async () => expect(await later.ask(revoked)).toBe('admitted'), { timeout: 5_000 });
    });
  });

  describe('in bounded memory', () => {
    const limit = (redis: TestRedis, bytes: string) => redis.command('CONFIG', 'SET', 'maxmemory', bytes);

    it('rejects revocations while Redis takes nothing more, holds them here, and keeps them later', async () => {
      const [redis] = run(await startRedis()) as [TestRedis];
      await prepareLog(redis);
      const fleet = fleetOver(() => createClient({ url: redis.url }));
      const [one, other] = [await fleet.start(), await fleet.start()];
      const [good, revoked] = [await issuer.jwt(60), await issuer.jwt(61)];
      await fleet.settled(good, 'admitted');
      await limit(redis, '1');
      expect(await one.revoke({ token: revoked })).toBe('revocation_not_spread');
      expect(await one.ask(revoked)).toBe('token_inactive');
      await vi.waitFor(
        () => expect(problems.map(({ code }) => code)).toContain('revocations_unwritten'),
        5_000,
      );
      expect(await fleet.ask(good)).toEqual(['admitted', 'admitted']);
      await limit(redis, '0');
      await fleet.settled(revoked, 'token_inactive', [other]);
      expect(await (await fleet.start()).ask(revoked)).toBe('token_inactive');
    });

    it('writes again what Redis evicted', async () => {
      const [redis] = run(await startRedis({ options: ['--maxmemory-policy', 'allkeys-random'] })) as [
        TestRedis,
      ];
      await prepareLog(redis);
      const fleet = fleetOver(() => createClient({ url: redis.url }));
      const revoked = await keepsRevocations(fleet);
      const revokedIs = fleet.watch(revoked);
      await limit(redis, '1');
      await vi.waitFor(async () => expect(await redis.command('EXISTS', logStream)).toBe(0), {
        timeout: 5_000,
      });
      await fleet.start();
      await limit(redis, '0');
      await vi.waitFor(
        () => expect(problems.map(({ code }) => code)).toContain('revocations_log_incomplete'),
        5_000,
      );
      await fleet.settled(revoked, 'token_inactive');
      // Issued after the loss, by a clock that is ahead.
      const startsLater = async () =>
        expect(await (await fleet.start()).ask(await issuer.jwt(-29))).toBe('admitted');
      await vi.waitFor(startsLater, { timeout: 12_000, interval: 1_000 });
      await fleet.settled(revoked, 'token_inactive');
      expect(await revokedIs()).not.toContain('admitted');
    });
  });

  it('is there again after Redis was killed, where it writes to disk', async () => {
    const [redis] = run(await startRedis({ isPersistent: true })) as [TestRedis];
    await prepareLog(redis);
    const fleet = fleetOver(() => createClient({ url: redis.url, socket: { reconnectStrategy: 100 } }));
    const revoked = await keepsRevocations(fleet);
    await fleet.close();
    await redis.kill();
    await redis.start();
    const later = await fleet.start();
    expect(await later.ask(revoked)).toBe('token_inactive');
    await fleet.settled(await issuer.jwt(60), 'admitted');
    expect(problems.filter(({ code }) => code.startsWith('revocations_log'))).toEqual([]);
  });

  it('lost its last entries with an older snapshot: processes that run write them again', async () => {
    const [redis] = run(await startRedis()) as [TestRedis];
    await prepareLog(redis);
    const fleet = fleetOver(() => createClient({ url: redis.url }));
    await fleet.start();
    await fleet.settled(await issuer.jwt(60), 'admitted');
    const snapshot = (await redis.command('XRANGE', logStream, '-', '+')) as [string, string[]][];
    const revoked = await keepsRevocations(fleet);
    const revokedIs = fleet.watch(revoked);
    await redis.command('DEL', logStream);
    for (const [id, fields] of snapshot) {
      await redis.command('XADD', logStream, id, ...fields);
    }
    await fleet.start();
    await vi.waitFor(
      () => expect(problems.map(({ code }) => code)).toContain('revocations_log_incomplete'),
      5_000,
    );
    // Issued after the loss, by a clock that is ahead.
    const startsLater = async () =>
      expect(await (await fleet.start()).ask(await issuer.jwt(-29))).toBe('admitted');
    await vi.waitFor(startsLater, { timeout: 12_000, interval: 1_000 });
    expect(await revokedIs()).not.toContain('admitted');
  });

  it('lost its last entries with an older snapshot while no process ran: a process that starts vouches for nothing from before, and so do those after it', async () => {
    const [redis] = run(await startRedis()) as [TestRedis];
    // The newest entry that is left is older than a minute.
    await prepareLog(redis, 90_000);
    const fleet = fleetOver(() => createClient({ url: redis.url }));
    const good = await issuer.jwt(60);
    for (let count = 0; count < 3; count += 1) {
      await fleet.start();
      await fleet.settled(good, 'token_inactive');
    }
    // Only the first process reports it, whether those after it start next to others or as the only one.
    await fleet.close();
    const { ask } = await fleet.start();
    expect(await ask(good)).toBe('token_inactive');
    expect(problems.map(({ code }) => code)).toEqual(['revocations_log_quiet']);
    expect(problems[0]?.message).toMatch(/has no entry between \d{4}-\d\d-\d\dT\S+Z and \d{4}-\S+Z: /);
  });
});
