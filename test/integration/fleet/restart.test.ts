import {
  createResourceServer,
  jwtAccessTokens,
  type ResourceServerOptions,
  type RevocationChannel,
} from '@mtls-bound/core';
import Keyv from 'keyv';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import { audience, jwtAudience, testClients } from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { useAuthorizationServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useAuthorizationServer();
const secret = 'a secret of at least 32 characters';

/** Tells all who listen at the moment, as Redis does. */
function channelInMemory(): RevocationChannel {
  const listeners = new Set<(message: string) => void>();
  return {
    async publish(message) {
      for (const hear of listeners) {
        hear(message);
      }
    },
    async subscribe({ message }) {
      listeners.add(message);
      return async () => listeners.delete(message);
    },
  };
}

describe.each(frameworks)('%s: a process that starts after a revocation', (framework) => {
  const apis: TestApi[] = [];
  afterEach(async () => {
    await Promise.all(apis.splice(0).map((api) => api.close()));
  });

  async function startProcess(options: ResourceServerOptions) {
    const api = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: server.secrets.api,
      audience,
      http: { ca: pki.ca.cert },
      ...options,
    });
    apis.push(api);
    return async (token: string) =>
      (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
  }

  async function revokeBy(options: ResourceServerOptions, token: string): Promise<void> {
    const other = createResourceServer({
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: server.secrets.api,
      audience,
      ...options,
    });
    await other.revoke({ token });
    await other.close();
  }

  it('lets a JWT in that was revoked before', async () => {
    const options = {
      audience: jwtAudience,
      tokens: jwtAccessTokens(),
      revocations: { channel: channelInMemory(), secret },
    };
    const token = await server.token({ ...testClients(pki).alice, resource: jwtAudience });
    const running = await startProcess(options);
    expect(await running(token)).toBe(200);
    await revokeBy(options, token);
    expect(await running(token)).toBe(401);
    const later = await startProcess(options);
    expect(await later(token)).toBe(200);
  });

  it('asks about an opaque token that was revoked before', async () => {
    const options = { revocations: { channel: channelInMemory(), secret } };
    const { alice } = testClients(pki);
    const token = await server.token(alice);
    const running = await startProcess(options);
    expect(await running(token)).toBe(200);
    await server.revoke(alice, token);
    await revokeBy(options, token);
    expect(await running(token)).toBe(401);
    const asked = server.introspections(token);
    const later = await startProcess(options);
    expect(await later(token)).toBe(401);
    expect(server.introspections(token)).toBe(asked + 1);
  });

  it('asks about an opaque token whose answer was shared before it started, whatever is done to the store', async () => {
    const stored = new Map<string, string>();
    const options = {
      sharedCache: { store: new Keyv({ store: stored }), secret },
      revocations: { channel: channelInMemory(), secret },
    };
    const { alice } = testClients(pki);
    const token = await server.token(alice);
    const running = await startProcess(options);
    expect(await running(token)).toBe(200);
    const before = [...stored];
    expect(before).toHaveLength(1);
    await server.revoke(alice, token);
    await revokeBy(options, token);
    expect(await running(token)).toBe(401);
    stored.clear();
    for (const [name, sealed] of before) {
      stored.set(name, sealed);
    }
    const later = await startProcess(options);
    // It hears of the channel before it is asked.
    expect(await later(token)).toBe(401);
  });
});
