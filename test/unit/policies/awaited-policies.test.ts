// What a policy of a route returns decides: undefined accepts, at once or by a promise. What it has the
// authorization server say counts from then on.
import {
  activeTokenPolicy,
  createResourceServer,
  type ProblemEvent,
  RequestRefused,
  type ResourceServerOptions,
  type RoutePolicy,
  scopesPolicy,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const kit = await createTestKit();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

let claims: object;
const good = (changes = {}) => boundClaims(kit.certificate, { scope: 'payments:write', ...changes });
const unhandled = vi.fn();
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  claims = good();
  unhandled.mockClear();
  process.on('unhandledRejection', unhandled);
});
afterEach(() => {
  vi.useRealTimers();
  process.off('unhandledRejection', unhandled);
  vi.restoreAllMocks();
});

const options = (more: ResourceServerOptions = {}) =>
  optionsOver(
    pretendServer(() => claims),
    kit.certificate,
    more,
  );

/** Returns what becomes of a request that this policy checks. */
async function outcomeWith(policy: RoutePolicy, server = createResourceServer(options())): Promise<string> {
  const req = requestWith('token');
  const authorization = await server.authorize(req);
  return outcomeOf(() => server.require(req, authorization, policy));
}

const thenable = (then: () => void) => ({ then });
const never = () => new Promise<never>(() => undefined);
const refuse = (): never => {
  throw new RequestRefused('claims_insufficient');
};

it.each<[string, () => unknown, string]>([
  ['returns undefined', () => undefined, 'admitted'],
  ['returns a promise of undefined', async () => undefined, 'admitted'],
  ['throws', refuse, 'claims_insufficient'],
  ['rejects', async () => refuse(), 'claims_insufficient'],
  [
    'throws an error of its own',
    () => {
      throw new Error('own');
    },
    'internal_error',
  ],
  [
    'rejects with an error of its own',
    async () => {
      throw new Error('own');
    },
    'internal_error',
  ],
])('a policy that %s', async (_title, policy, expected) => {
  expect(await outcomeWith(policy as RoutePolicy)).toBe(expected);
  expect(unhandled).not.toHaveBeenCalled();
});

it.each<[string, unknown]>([
  ['null', null],
  ['true', true],
  ['false', false],
  ['a value of type object', {}],
  ['a value of type number', 0],
  ['a value of type string', ''],
])('a policy that returns %s, at once or by a promise, is an error that is reported', async (name, value) => {
  expect(await outcomeWith(() => value as never)).toBe('internal_error');
  expect(await outcomeWith(async () => value as never)).toBe('internal_error');
  const message = expect.stringContaining(
    `a route policy returned ${name}; to accept a request it must return undefined, to refuse one it must ` +
      'throw RequestRefused',
  );
  expect(problems).toMatchObject([{ message }, { message }]);
});

describe('a policy that never settles', () => {
  it.each<[string, () => unknown]>([
    ['promise', never],
    ['thenable', () => thenable(() => undefined)],
  ])('by a %s is refused after 60 seconds', async (_title, policy) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const settled = vi.fn();
    const outcome = outcomeWith(policy as RoutePolicy).finally(settled);
    await vi.advanceTimersByTimeAsync(59_999);
    expect(settled).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(await outcome).toBe('internal_error');
    const message = expect.stringContaining('a route policy did not settle within 60 s');
    expect(problems).toMatchObject([{ message }]);
  });

  it('takes no place of a client, no place of an exchange, and does not hold close()', async () => {
    const server = createResourceServer(
      options({ http: { maxConcurrent: 4, maxQueued: 0 }, floodGuard: { allowance: 1 } }),
    );
    for (const token of ['a', 'b', 'c', 'd', 'e']) {
      const req = requestWith(token);
      const granted = await server.authorize(req);
      void server.require(req, granted, async ({ introspect }) => {
        await introspect();
        await never();
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const req = requestWith('f');
    expect((await server.authorize(req))?.subject).toBe('user-1');
    await server.close();
  });
});

it('a policy that settles leaves no timer', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const server = createResourceServer(options());
  const req = requestWith('token');
  const granted = await server.authorize(req);
  expect(server.isOwnAuthorization(req, await server.require(req, granted, async () => undefined))).toBe(
    true,
  );
  expect(vi.getTimerCount()).toBe(0);
  await server.close();
});

/** Policies that do not wait for the introspection that they begin. */
const impatient: RoutePolicy = ({ introspect }) => {
  introspect();
};
const failing: RoutePolicy = ({ introspect }) => {
  introspect();
  return refuse();
};

it.each<[string, RoutePolicy, string]>([
  ['that does not wait for the introspection is refused by it', impatient, 'token_inactive'],
  ['that throws meanwhile refuses itself', failing, 'claims_insufficient'],
])('a policy %s, and no rejection is unhandled', async (_title, policy, expected) => {
  const server = createResourceServer(options());
  await server.authorize(requestWith('token'));
  claims = { active: false };
  expect(await outcomeWith(policy, server)).toBe(expected);
  await new Promise(setImmediate);
  expect(unhandled).not.toHaveBeenCalled();
});

it('a policy that has the token introspected twice asks once', async () => {
  const pretend = pretendServer(() => claims);
  const server = createResourceServer(optionsOver(pretend, kit.certificate));
  const policy: RoutePolicy = async ({ introspect }) => {
    await introspect();
    await introspect();
  };
  expect(await outcomeWith(policy, server)).toBe('admitted');
  expect(pretend.asked).toEqual(['token', 'token']);
});

describe('a resource server, asked again with the Authorization from before the introspection', () => {
  it('judges by what the authorization server said since', async () => {
    const server = createResourceServer(options());
    await server.authorize(requestWith('token'));
    claims = good({ scope: 'accounts:read' });
    const req = requestWith('token');
    const before = await server.authorize(req);
    const fresh = await server.require(req, before, activeTokenPolicy);
    expect([before?.scopes, fresh.scopes]).toEqual([['payments:write'], ['accounts:read']]);
    const outcomeFor = (scope: string) => outcomeOf(() => server.require(req, before, scopesPolicy([scope])));
    expect(await outcomeFor('payments:write')).toBe('scope_insufficient');
    expect(await outcomeFor('accounts:read')).toBe('admitted');
    expect(server.require(req, before, () => undefined)).toBe(fresh);
  });

  it('judges by the last of several introspections, also of two at once', async () => {
    const server = createResourceServer(options());
    const req = requestWith('token');
    const first = await server.authorize(req);
    await Promise.all([
      server.require(req, first, activeTokenPolicy),
      server.require(req, first, activeTokenPolicy),
    ]);
    claims = good({ scope: 'accounts:read' });
    const last = await server.require(req, first, activeTokenPolicy);
    expect(last.scopes).toEqual(['accounts:read']);
    expect(server.require(req, first, () => undefined)).toBe(last);
  });

  it('judges by the last of several introspections, whichever earlier Authorization it gets', async () => {
    const server = createResourceServer(options());
    const req = requestWith('token');
    const first = await server.authorize(req);
    const second = await server.require(req, first, activeTokenPolicy);
    claims = good({ scope: 'accounts:read' });
    const last = await server.require(req, first, activeTokenPolicy);
    expect(last.scopes).toEqual(['accounts:read']);
    for (const given of [first, second, last]) {
      expect(server.require(req, given, () => undefined)).toBe(last);
    }
  });
});
