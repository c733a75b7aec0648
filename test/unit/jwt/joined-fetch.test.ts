// Requests of several clients wait for one fetch of the keys, and the circuit breaker is open for some of them.
import type { RequestRefused } from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import {
  createRemoteKeys,
  type KeysCaller,
} from '../../../packages/core/src/authorization-server/key-set.js';
import { createLimitedHttpClient } from '../../../packages/core/src/authorization-server/limited-http.js';
import { markAsAskingAboutActiveToken } from '../../../packages/core/src/authorization-server/requester.js';
import type { CircuitOpen } from '../../../packages/core/src/shared/circuit-breaker.js';

const issuer = 'https://as.example.com';
const metadata = (async () => ({ issuer, jwks_uri: `${issuer}/jwks` })) as never;
const clientOf = (key: string) => ({ requester: { interactionId: undefined, countingKeys: [key] } });
const [attacker, other, good] = ['attacker', 'other', 'good'].map(clientOf);

/** Keys of a server that answers 503 until `recover()`. It has failed for the attacker. */
async function failedKeys() {
  let isUp = false;
  const asked: unknown[] = [];
  const { send } = createLimitedHttpClient(
    (async (_url: string, request: { requester: unknown }) => {
      asked.push(request.requester);
      return isUp ? Response.json({ keys: [] }) : new Response('', { status: 503 });
    }) as never,
    { role: 'authorization server', name: issuer } as never,
    { timeout: 5, maxConcurrent: 8, maxQueued: 8, maxFailures: 2, retryInterval: 60 } as never,
    () => undefined,
  );
  const remote = createRemoteKeys(metadata, send as never);
  for (const client of [attacker, attacker]) {
    await remote.fetchAfresh(client).catch(() => undefined);
  }
  return { remote, asked, recover: () => (isUp = true) };
}

describe('a fetch of keys that several clients wait for', () => {
  it('is sent for the first client for which the breaker is closed', async () => {
    const { remote, asked, recover } = await failedKeys();
    recover();
    const before = asked.length;
    const fetches = [attacker, attacker, good].map((client) => remote.fetchAfresh(client));
    await expect(Promise.all(fetches)).resolves.toHaveLength(3);
    expect(asked.slice(before)).toEqual([good?.requester]);
  });

  it('is refused if the breaker is open for each of them', async () => {
    const { remote, asked } = await failedKeys();
    const before = asked.length;
    const fetches = [attacker, attacker].map((client) => remote.fetchAfresh(client));
    for (const fetch of fetches) {
      await expect(fetch).rejects.toMatchObject({ code: 'authorization_server_not_asked' });
    }
    expect(asked).toHaveLength(before);
  });

  it('refuses each client for its own reason if the breaker is open for each of them', async () => {
    const known = { interactionId: undefined, countingKeys: ['known'] };
    markAsAskingAboutActiveToken(known);
    const { remote } = await failedKeys();
    for (const _ of [1, 2]) {
      await remote.fetchAfresh({ requester: known }).catch(() => undefined);
    }
    const kindOf = (client: KeysCaller | undefined) =>
      remote.fetchAfresh(client).catch(({ cause }: RequestRefused) => (cause as CircuitOpen).kind);
    const kinds = await Promise.all([attacker, { requester: known }, attacker].map(kindOf));
    expect(kinds).toEqual(['unknown', 'known', 'unknown']);
  });

  it('is sent once, and fails for all, if the server fails', async () => {
    const { remote, asked } = await failedKeys();
    const before = asked.length;
    const fetches = [attacker, good, other].map((client) => remote.fetchAfresh(client));
    for (const fetch of fetches) {
      await expect(fetch).rejects.toMatchObject({ code: 'authorization_server_failed' });
    }
    expect(asked.slice(before)).toEqual([good?.requester]);
  });
});
