// An operator learns why Redis can not be used, from problems and from the doctor, and no secret.
import { redisChannel, redisLog } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { createClient } from '@redis/client';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { checkStores } from '../../../packages/core/src/doctor/store-checks.js';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { LogSync } from '../../../packages/core/src/revocation/log-sync.js';
import { Revocations } from '../../../packages/core/src/revocation/revocations.js';
import { describeReal } from '../../support/programs.js';
import { startRedis, type TestRedis } from '../../support/redis.js';

const secret = 'a secret of at least 32 characters';
const password = 'secret-31415';

describeReal('redis-server', 'a Redis that can not be used', () => {
  let redis: TestRedis;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    redis = await startRedis();
    await redis.command('CONFIG', 'SET', 'requirepass', 'another');
  });
  afterAll(async () => {
    await Promise.all(closing.map((close) => close()));
    await redis.kill();
    vi.restoreAllMocks();
  });

  function clientOf(url: string) {
    const client = createClient({ url }).on('error', () => undefined);
    void client.connect().catch(() => undefined);
    closing.push(() => client.destroy());
    return client;
  }

  const servers: [code: string, url: () => string][] = [
    ['ECONNREFUSED', () => `redis://:${password}@127.0.0.1:1`],
    ['WRONGPASS', () => `redis://:${password}@127.0.0.1:${redis.port}`],
    ['NOAUTH', () => `redis://127.0.0.1:${redis.port}`],
  ];

  it.each(servers)('has the doctor say %s of the log and the channel', async (code, url) => {
    const client = clientOf(url());
    const kit = await createTestKit();
    const found = [];
    for (const by of [{ log: redisLog(client) }, { channel: redisChannel(client) }]) {
      const settings = resolveSettings({ ...kit.options, revocations: { ...by, secret } } as never, {});
      found.push(...(await checkStores(settings)));
    }
    expect(found.map(({ code }) => code)).toEqual([
      'revocation_log_unreachable',
      'revocation_channel_unreachable',
    ]);
    for (const finding of found) {
      expect(JSON.stringify(finding)).toMatch(new RegExp(`no answer within 3 s: (Error )?${code}\\b`));
      expect(JSON.stringify(finding)).not.toContain(password);
    }
  });

  it.each(servers)('has a process report %s of the log', async (code, url) => {
    const messages: string[] = [];
    const revocations = new Revocations({
      longestUse: 3_600,
      maxAgeWhileUnsynced: 5,
      clockTolerance: 30,
      syncedBy: 'log',
      maxWait: 0.1,
      acceptsUnknownRevocation: false,
    });
    const log = redisLog(clientOf(url()));
    const rules = { log, secrets: [secret], longestTokenLifetime: 3_600, maxAgeWhileUnsynced: 5 };
    const feed = new LogSync(rules, revocations, (_code, message) => messages.push(message));
    await vi.waitFor(() => expect(messages).toHaveLength(1), 5_000);
    expect(messages[0]).toMatch(new RegExp(`can not be read: no answer within 2 s: (Error )?${code}$`));
    await feed.close();
  });
});
