// A connection to Redis that swallows everything, without a word: no process may take it for a quiet one.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createClient } from '@redis/client';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLogFleet, type LogFleet, useLogSuite } from '../../support/log-process.js';
import { close, listen } from '../../support/loopback.js';
import { describeReal } from '../../support/programs.js';

/** Passes bytes on, until it swallows those of connections that are there and of new ones. */
interface Swallower {
  readonly url: string;
  isSwallowing: boolean;
  close(): Promise<void>;
}

async function startSwallower(port: number): Promise<Swallower> {
  const open = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from);
      from.on('data', (chunk) => swallower.isSwallowing || to.write(chunk));
      from.on('error', () => undefined);
      from.on('close', () => to.destroy());
    }
  });
  const swallower: Swallower = {
    url: `redis://127.0.0.1:${await listen(server)}`,
    isSwallowing: false,
    async close() {
      for (const socket of open) {
        socket.destroy();
      }
      await close(server);
    },
  };
  return swallower;
}

describeReal('redis-server', 'a connection to Redis that falls silent', () => {
  const suite = useLogSuite();
  let proxy: Swallower;

  beforeEach(async () => {
    proxy = await startSwallower(suite.redis.port);
  });
  afterEach(async () => {
    await suite.fleet?.close();
    await proxy.close();
  });

  const settings = { maxAgeWhileUnsynced: 2, maxWait: 0.2 };
  /** A fleet behind the proxy. */
  const createFleet = (options: object): LogFleet => {
    const fleet = createLogFleet(() => createClient({ url: proxy.url }), options, settings);
    suite.fleet = fleet;
    return fleet;
  };

  it('has JWTs refused with 503 until it speaks again, and a JWT that was revoked meanwhile for good', async () => {
    const { issuer, redis, problems } = suite;
    const fleet = createFleet(issuer.forJwts);
    const cutOff = await fleet.start();
    const others = createLogFleet(() => createClient({ url: redis.url }), issuer.forJwts, settings);
    const other = await others.start();
    const [good, revoked] = [await issuer.jwt(60), await issuer.jwt(61)];
    await fleet.settled(good, 'admitted');
    await others.settled(good, 'admitted');
    await fleet.settled(revoked, 'admitted');
    proxy.isSwallowing = true;
    expect(await other.revoke({ token: revoked })).toBe('kept');
    await fleet.settled(revoked, 'revocations_unknown');
    await fleet.settled(good, 'revocations_unknown');
    await others.settled(good, 'admitted');
    await vi.waitFor(() => expect(problems.map(({ code }) => code)).toContain('revocations_unsynced'), 5_000);
    expect(await cutOff.revoke({ subject: 'another' })).toBe('revocation_not_spread');
    proxy.isSwallowing = false;
    await fleet.settled(revoked, 'token_inactive');
    await fleet.settled(good, 'admitted');
    await others.close();
  });

  it('has opaque tokens asked about', async () => {
    const { issuer } = suite;
    const fleet = createFleet(issuer.forOpaque);
    await fleet.start();
    const token = 'an-opaque-token';
    await fleet.settled(token, 'admitted');
    await fleet.settled(token, 'admitted');
    const asked = issuer.asked(token);
    await fleet.settled(token, 'admitted');
    expect(issuer.asked(token)).toBe(asked);
    proxy.isSwallowing = true;
    await vi.waitFor(
      async () => {
        expect(await fleet.ask(token)).toEqual(['admitted']);
        expect(issuer.asked(token)).toBeGreaterThan(asked);
      },
      { timeout: 10_000, interval: 100 },
    );
  });

  it('holds up neither close() nor many revocations, which are rejected', async () => {
    const { issuer } = suite;
    const fleet = createFleet(issuer.forJwts);
    const one = await fleet.start();
    await fleet.settled(await issuer.jwt(60), 'admitted');
    proxy.isSwallowing = true;
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => one.revoke({ subject: `user-${index}` })),
    );
    expect(new Set(answers)).toEqual(new Set(['revocation_not_spread']));
    await fleet.close();
  });
});
