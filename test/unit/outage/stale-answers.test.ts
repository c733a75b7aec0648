// With cache.staleIfError, a known token is accepted for longer only if the authorization server can't be asked.
// What one client causes by other tokens never makes it so.
import { ClientCertificate, createResourceServer, type ResourceServerOptions } from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import {
  boundClaims,
  gate,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const alice = new ClientCertificate({ thumbprint: 'A'.repeat(43) });

type MadeUp = () => object | Promise<object>;

/** An API over a server that knows the tokens `good-...`, and answers to all others as `madeUp` does. */
function api(madeUp: MadeUp, more: ResourceServerOptions = {}) {
  const state = { isDown: false, revoked: new Set<string>() };
  const server = pretendServer((token) => {
    if (state.isDown) {
      return new Response('', { status: 502 });
    }
    if (!token.startsWith('good-')) {
      return madeUp();
    }
    return state.revoked.has(token) ? { active: false } : boundClaims(alice, { exp: 4_000_000_000 });
  });
  const resourceServer = createResourceServer(
    optionsOver(server, alice, { cache: { maxAge: 60, staleIfError: 3_600 }, ...more }),
  );
  const send = (token: string) => outcomeOf(() => resourceServer.authorize(requestWith(token)));
  /** Waits until the cached answers are too old. */
  const age = () => vi.setSystemTime(Date.now() + 61_000);
  return { server, state, send, age };
}

describe('a client with a revoked token', () => {
  const tokens = (count: number) => Array.from({ length: count }, (_, index) => `made-up-${index}`);

  it('that fills its own queue is asked about all the same', async () => {
    const { opened, open } = gate();
    const { server, state, send, age } = api(() => opened.then(() => ({ active: false })));
    expect(await send('good-1')).toBe('admitted');
    state.revoked.add('good-1');
    age();
    const others = tokens(1_050).map(send);
    const revoked = send('good-1');
    open();
    expect(await revoked).toBe('token_inactive');
    expect(await Promise.all(others)).toContain('authorization_server_not_asked');
    expect(server.asked.filter((token) => token === 'good-1')).toHaveLength(2);
  });

  it('that fills its own queue about known tokens is refused', async () => {
    const { opened, open } = gate();
    const { state, send, age } = api(() => opened.then(() => ({ active: false })));
    const known = Array.from({ length: 1_040 }, (_, index) => `good-${index}`);
    for (const token of known) {
      expect(await send(token)).toBe('admitted');
    }
    for (const token of known) {
      state.revoked.add(token);
    }
    age();
    const held = tokens(50).map(send);
    const outcomes = known.map(send);
    open();
    expect(new Set(await Promise.all(outcomes))).toEqual(
      new Set(['token_inactive', 'authorization_server_not_asked']),
    );
    await Promise.all(held);
  });

  it.each<[string, MadeUp, ResourceServerOptions, string]>([
    [
      'that uses up its allowance by tokens on which the server fails',
      () => new Response('', { status: 500 }),
      {},
      'authorization_server_failed',
    ],
    [
      'that opens the circuit breaker for itself',
      () => new Response('', { status: 502 }),
      { circuitBreaker: { maxFailures: 5, retryInterval: 300 } },
      'authorization_server_not_asked',
    ],
    [
      'that opens the circuit breaker for all',
      () => new Response('', { status: 502 }),
      { circuitBreaker: { maxFailures: 1, retryInterval: 300 } },
      'authorization_server_not_asked',
    ],
  ])('%s is refused', async (_title, madeUp, more, last) => {
    const { state, send, age } = api(madeUp, more);
    expect(await send('good-1')).toBe('admitted');
    state.revoked.add('good-1');
    age();
    const outcomes: string[] = [];
    for (const token of tokens(120)) {
      outcomes.push(await send(token));
    }
    expect(outcomes.slice(5, 100)).toEqual(Array(95).fill(last));
    expect(outcomes.at(-1)).toBe('authorization_server_not_asked');
    expect(await send('good-1')).toBe('token_inactive');
  });
});

describe('while the authorization server is down', () => {
  it.each([0, 120])('each known token of one client is accepted, after %i unknown tokens', async (count) => {
    const { server, state, send, age } = api(() => ({ active: false }), {
      circuitBreaker: { maxFailures: 5, retryInterval: 300 },
    });
    const known = Array.from({ length: 30 }, (_, index) => `good-${index}`);
    for (const token of known) {
      expect(await send(token)).toBe('admitted');
    }
    state.isDown = true;
    age();
    for (let index = 0; index < count; index += 1) {
      expect(await send(`unknown-${index}`)).toMatch(/^authorization_server_(failed|not_asked)$/);
    }
    const asked = server.asked.length;
    for (const token of known) {
      expect(await send(token)).toBe('admitted');
    }
    // Five failures about known tokens open the breaker for them.
    expect(server.asked.slice(asked)).toEqual(known.slice(0, 5));
    expect(await Promise.all(known.map(send))).toEqual(Array(30).fill('admitted'));
  });
});

describe("with selectIssuer: 'in-order'", () => {
  const token = 'a-token-of-blue';

  /** An API that asks red, then blue. Each is down, or calls the token active or not. */
  function inOrder(more: ResourceServerOptions = {}) {
    const states = { red: 'inactive', blue: 'active' };
    const answer = (name: 'red' | 'blue') => () => {
      if (states[name] === 'down') {
        return new Response('', { status: 502 });
      }
      return states[name] === 'active' ? boundClaims(alice, { exp: 4_000_000_000 }) : { active: false };
    };
    const issuers = (['red', 'blue'] as const).map((name) => {
      const { issuer, fetch } = pretendServer(answer(name), `https://${name}.example.com`);
      return { issuer, clientId: 'api', clientSecret: 'a-client-secret', audience, http: { fetch } };
    });
    const resourceServer = createResourceServer({
      issuers,
      selectIssuer: 'in-order',
      certificate: () => alice,
      cache: { maxAge: 60, staleIfError: 3_600, refreshAhead: 0, rejectionMaxAge: 0 },
      ...more,
    });
    const authorize = () => resourceServer.authorize(requestWith(token));
    const age = () => vi.setSystemTime(Date.now() + 61_000);
    return { states, authorize, send: () => outcomeOf(authorize), age };
  }

  it('a token that its issuer calls inactive is refused while another issuer is down', async () => {
    const { states, send, age } = inOrder();
    expect(await send()).toBe('admitted');
    age();
    Object.assign(states, { red: 'down', blue: 'inactive' });
    expect(await send()).toBe('authorization_server_failed');
    // The answer has ended: no later trouble of its issuer lets it be used.
    Object.assign(states, { red: 'inactive', blue: 'down' });
    expect(await send()).toBe('authorization_server_failed');
    Object.assign(states, { red: 'inactive', blue: 'inactive' });
    expect(await send()).toBe('token_inactive');
  });

  it('a fresh answer ends too when a refresh learns that its issuer calls the token inactive', async () => {
    const cache = { maxAge: 60, staleIfError: 3_600, refreshAhead: 20, rejectionMaxAge: 0 };
    const { states, send } = inOrder({ cache });
    expect(await send()).toBe('admitted');
    vi.setSystemTime(Date.now() + 50_000);
    Object.assign(states, { red: 'down', blue: 'inactive' });
    expect(await send()).toBe('admitted');
    await vi.waitFor(async () => expect(await send()).toBe('authorization_server_failed'));
  });

  it.each(['inactive', 'down'])(
    'a token is accepted while its issuer is down and the other is %s',
    async (red) => {
      const { states, send, age } = inOrder();
      expect(await send()).toBe('admitted');
      age();
      Object.assign(states, { red, blue: 'down' });
      expect(await send()).toBe('admitted');
    },
  );

  it('a token that no answer is cached for gets the trouble of the first issuer', async () => {
    const { states, authorize } = inOrder();
    Object.assign(states, { red: 'down', blue: 'down' });
    await expect(authorize()).rejects.toMatchObject({
      code: 'authorization_server_failed',
      detail: expect.stringContaining('https://red.example.com') as string,
    });
  });
});
