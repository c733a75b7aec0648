// Questions ahead of time are asked for the sake of the client that uses the token: their failures are its own.
import { createResourceServer, type ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { boundClaims, outcomeOf, pretendServer, requestWith } from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

/** A server that limits one client's questions from the moment that `limit()` is called on. */
function limitedApi(more: ResourceServerOptions = {}) {
  let isLimited = false;
  const server = pretendServer((token) => {
    const isBusy = token.startsWith('busy');
    if (isLimited && isBusy) {
      return new Response('', { status: 429, headers: { 'retry-after': '5' } });
    }
    return boundClaims(isBusy ? kit.certificate : kit.otherCertificate);
  });
  const resourceServer = createResourceServer({
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'a-secret',
    audience,
    certificate: kit.options.certificate as NonNullable<ResourceServerOptions['certificate']>,
    cache: { maxAge: 4, refreshAhead: 1.9 },
    http: { fetch: server.fetch },
    circuitBreaker: { maxFailures: 2 },
    ...more,
  });
  const send = (token: string, address = '192.0.2.1') => {
    const { thumbprint } = token.startsWith('busy') ? kit.certificate : kit.otherCertificate;
    const headers = { 'x-test-client-certificate': thumbprint };
    return outcomeOf(() => resourceServer.authorize(requestWith(token, headers, { remoteAddress: address })));
  };
  const limit = () => {
    isLimited = true;
  };
  return { server, resourceServer, send, limit };
}

const tokens = Array.from({ length: 20 }, (_, i) => `busy-${i}`);

it('refreshes of one client that fail leave the breaker closed for other clients', async () => {
  const { server, resourceServer, send, limit } = limitedApi();
  for (const token of tokens) {
    expect(await send(token)).toBe('admitted');
  }
  limit();
  await vi.waitFor(
    async () => {
      const outcomes = await Promise.all(tokens.map((token) => send(token)));
      expect(outcomes.every((outcome) => outcome === 'admitted')).toBe(true);
      // Two failures of this client open the breaker for it alone.
      expect(server.asked.length).toBeGreaterThan(tokens.length + 1);
    },
    { timeout: 10_000, interval: 100 },
  );
  for (let i = 0; i < 5; i += 1) {
    expect(await send(`other-${i}`, '192.0.2.2')).toBe('admitted');
  }
  await resourceServer.close();
});

it('a function of floodGuard that fails lets a known token pass without a refresh', async () => {
  let fails = false;
  const exempt = () => {
    if (fails) {
      throw new Error('of the user');
    }
    return false;
  };
  const { server, resourceServer, send } = limitedApi({
    floodGuard: { exempt },
    cache: { maxAge: 100, refreshAhead: 49 },
  });
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
  expect(await send('busy-1')).toBe('admitted');
  vi.advanceTimersByTime(70_000);
  fails = true;
  expect(await send('busy-1')).toBe('admitted');
  fails = false;
  expect(await send('busy-1')).toBe('admitted');
  vi.useRealTimers();
  await resourceServer.close();
  expect(server.asked).toEqual(['busy-1', 'busy-1']);
});
