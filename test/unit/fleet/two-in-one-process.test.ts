// Two middlewares in one process are two resource servers: they share revocations over a channel or a log alone.
import { createResourceServer, type ResourceServer, type RevocationChannel } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { hashOf } from '../../../packages/core/src/token/token-hash.js';
import { MemoryLog } from '../../support/memory-log.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const secret = 'a secret of at least 32 characters';
let kit: TestKit;
let servers: ResourceServer[] = [];
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  servers = [];
});

function create(revocations: object): ResourceServer {
  const authorizationServer = pretendServer(() => boundClaims(kit.certificate));
  const server = createResourceServer(optionsOver(authorizationServer, kit.certificate, { revocations }));
  servers.push(server);
  return server;
}

const outcomes = () =>
  Promise.all(servers.map((server) => outcomeOf(() => server.authorize(requestWith('token')))));

function memoryChannel(): RevocationChannel {
  const listeners = new Set<(message: string) => void>();
  return {
    publish: async (message) => listeners.forEach((listener) => void listener(message)),
    subscribe: async ({ message }) => {
      listeners.add(message);
      return async () => listeners.delete(message);
    },
  };
}

describe('a token that one of two resource servers in a process revoked', () => {
  it('is accepted by the other one without channel and log', async () => {
    const first = create({});
    create({});
    expect(await outcomes()).toEqual(['admitted', 'admitted']);
    await first.revoke({ tokenHash: hashOf('token') });
    expect(await outcomes()).toEqual(['token_inactive', 'admitted']);
  });

  it.each<[string, () => object]>([
    ['channel', () => ({ channel: memoryChannel(), secret })],
    ['log', () => ({ log: new MemoryLog(), secret })],
  ])('is refused by both with one %s', async (_title, parts) => {
    const revocations = parts();
    const first = create(revocations);
    create(revocations);
    await vi.waitFor(async () => expect(await outcomes()).toEqual(['admitted', 'admitted']));
    await first.revoke({ tokenHash: hashOf('token') });
    await vi.waitFor(async () => expect(await outcomes()).toEqual(['token_inactive', 'token_inactive']));
  });
});
