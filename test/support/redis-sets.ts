// Several Redis servers that belong together.
import { expect, vi } from 'vitest';
import { startRedis, type TestRedis } from './redis.js';

/** A master with a replica, and three sentinels that watch over them. */
export interface SentinelSet {
  readonly master: TestRedis;
  readonly replica: TestRedis;
  readonly sentinels: readonly TestRedis[];
  kill(): Promise<void>;
}

export const masterName = 'of-the-test';

export async function startSentinelSet(): Promise<SentinelSet> {
  const master = await startRedis();
  const replica = await startRedis({ options: ['--replicaof', '127.0.0.1', `${master.port}`] });
  await replicating(master, 1);
  const sentinel = [
    `sentinel monitor ${masterName} 127.0.0.1 ${master.port} 2`,
    `sentinel down-after-milliseconds ${masterName} 1000`,
    `sentinel failover-timeout ${masterName} 5000`,
  ];
  const sentinels = await Promise.all([1, 2, 3].map(() => startRedis({ sentinel })));
  // Each must know the others and the replica before it can be counted on.
  for (const { command } of sentinels) {
    await vi.waitFor(
      async () => {
        const about = (await command('SENTINEL', 'MASTER', masterName)) as Record<string, string> | string[];
        const text = JSON.stringify(about);
        expect(text).toMatch(/"num-other-sentinels"[:,]"2"/);
        expect(text).toMatch(/"num-slaves"[:,]"1"/);
      },
      { timeout: 20_000, interval: 100 },
    );
  }
  return {
    master,
    replica,
    sentinels,
    async kill() {
      await Promise.all([master, replica, ...sentinels].map((redis) => redis.kill()));
    },
  };
}

/** Waits until so many replicas have all that the master has. */
export async function replicating(master: TestRedis, replicas: number): Promise<void> {
  await vi.waitFor(
    async () => expect(String(await master.command('INFO', 'replication'))).toContain(`state=online`),
    { timeout: 20_000, interval: 50 },
  );
  expect(Number(await master.command('WAIT', String(replicas), '5000'))).toBe(replicas);
}

/** A Cluster of so many masters without replicas. */
export async function startCluster(size: number): Promise<readonly TestRedis[]> {
  const options = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'];
  const nodes = await Promise.all(Array.from({ length: size }, () => startRedis({ options })));
  const share = Math.ceil(16_384 / size);
  for (const [index, node] of nodes.entries()) {
    const last = Math.min(16_383, (index + 1) * share - 1);
    await node.command('CLUSTER', 'ADDSLOTSRANGE', String(index * share), String(last));
    await node.command('CLUSTER', 'MEET', '127.0.0.1', String(nodes[0]?.port));
  }
  await agreeing(nodes);
  return nodes;
}

/** Waits until each node knows who serves what. */
export async function agreeing(nodes: readonly TestRedis[]): Promise<void> {
  for (const node of nodes) {
    await vi.waitFor(
      async () => {
        const info = String(await node.command('CLUSTER', 'INFO'));
        expect(info).toContain('cluster_state:ok');
        expect(info).toContain(`cluster_known_nodes:${nodes.length}`);
      },
      { timeout: 20_000, interval: 100 },
    );
  }
}
