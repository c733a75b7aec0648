// The requests of a resource server and its flood guard: what counts for a client, and which requests share a reading.
import {
  activeTokenPolicy,
  ClientCertificate,
  createResourceServer,
  issuerByHeader,
  type NodeRequest,
  type ResourceServer,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { beforeEach, describe, expect, it, vi } from 'vitest';
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
  return () => vi.restoreAllMocks();
});

const alice = new ClientCertificate({ thumbprint: 'A'.repeat(43) });
const bob = new ClientCertificate({ thumbprint: 'B'.repeat(43) });
const clients: Record<string, ClientCertificate> = { alice, bob };
const clientOf = ({ headers }: NodeRequest) => clients[String(headers['x-client'])];

/** The authorization server knows tokens by the client in front: `alice-...` and `bob-...`. */
const claimsOf = (token: string) => {
  const owner = clients[token.split('-')[0] ?? ''];
  return owner === undefined ? { active: false } : boundClaims(owner);
};
const requestOf = (client: string, token: string, more = {}) =>
  requestWith(token, { 'x-client': client, ...more });

function start(more: ResourceServerOptions = {}, answer: (token: string) => object = claimsOf) {
  const pretend = pretendServer(answer);
  const options = { floodGuard: { address: false, allowance: 2, window: 3_600 } } as const;
  const server = createResourceServer(
    optionsOver(pretend, undefined, { certificate: clientOf, ...options, ...more }),
  );
  const send = (client: string, token: string) => outcomeOf(() => server.authorize(requestOf(client, token)));
  return { server, send, asked: pretend.asked };
}

/** A resource server of two issuers: the header `x-tenant` says which one, `a` or `b`. */
function startTwo(
  pretended: readonly ReturnType<typeof pretendServer>[],
  more: Pick<ResourceServerOptions, 'floodGuard'> = {},
): ResourceServer {
  const [a = '', b = ''] = pretended.map(({ issuer }) => issuer);
  return createResourceServer({
    audience: 'https://api.example.com',
    certificate: clientOf,
    issuers: pretended.map(({ issuer, fetch }) => ({
      issuer,
      clientId: 'api',
      clientSecret: 'a-client-secret',
      http: { fetch },
    })),
    selectIssuer: issuerByHeader('x-tenant', { a, b }),
    ...more,
  } as ResourceServerOptions);
}

/** Uses up the allowance of alice. */
async function useUpAllowance(send: (client: string, token: string) => Promise<string>): Promise<void> {
  expect(await send('alice', 'unknown-1')).toBe('token_inactive');
  expect(await send('alice', 'unknown-2')).toBe('token_inactive');
  expect(await send('alice', 'unknown-3')).toBe('too_many_rejected_tokens');
}

describe('a client that has used up its allowance', () => {
  it('is asked about no further token, and other clients are', async () => {
    const { send, asked } = start();
    await useUpAllowance(send);
    expect(await send('alice', 'alice-token')).toBe('too_many_rejected_tokens');
    expect(asked).toEqual(['unknown-1', 'unknown-2']);
    expect(await send('bob', 'bob-token')).toBe('admitted');
  });

  it('passes with a cached token, also through requireActive()', async () => {
    const { server, send, asked } = start();
    expect(await send('alice', 'alice-token')).toBe('admitted');
    await useUpAllowance(send);
    const req = requestOf('alice', 'alice-token');
    const authorization = await server.authorize(req);
    expect(await outcomeOf(() => server.require(req, authorization, activeTokenPolicy))).toBe('admitted');
    expect(asked).toEqual(['alice-token', 'unknown-1', 'unknown-2', 'alice-token']);
  });

  it('passes with a token that another process has cached', async () => {
    const stored = new Map<string, string>();
    const store = {
      get: async (key: string) => stored.get(key),
      set: async (key: string, value: string) => stored.set(key, value),
    };
    const sharedCache = { store: store as never, secret: 'a secret of at least 32 characters' };
    await start({ sharedCache }).send('alice', 'alice-token');
    await vi.waitFor(() => expect(stored.size).toBe(1));
    const { send, asked } = start({ sharedCache });
    await useUpAllowance(send);
    expect(await send('alice', 'alice-token')).toBe('admitted');
    expect(await send('alice', 'alice-other')).toBe('too_many_rejected_tokens');
    expect(asked).toEqual(['unknown-1', 'unknown-2']);
  });
});

it.each<[string, ResourceServerOptions]>([
  ['no flood guard is set', { floodGuard: false }],
  ['it is exempt', { floodGuard: { address: false, allowance: 2, exempt: () => true } }],
])('a client is not limited if %s', async (_title, more) => {
  const { send } = start(more);
  for (let count = 0; count < 5; count += 1) {
    expect(await send('alice', `unknown-${count}`)).toBe('token_inactive');
  }
});

describe('requests of one client at the same time', () => {
  it('share a reading if they have the same token, and only then', async () => {
    const { opened, open } = gate();
    const { send, asked } = start({}, async (token) => {
      await opened;
      return claimsOf(token);
    });
    const outcomes = ['alice-1', 'alice-1', 'unknown'].map((token) => send('alice', token));
    open();
    expect(await Promise.all(outcomes)).toEqual(['admitted', 'admitted', 'token_inactive']);
    expect(asked).toEqual(['alice-1', 'unknown']);
  });

  it.each<[string, (server: ResourceServer, issuer: string) => Promise<string>]>([
    [
      'authorize()',
      (server, issuer) =>
        outcomeOf(() => server.authorize(requestOf('alice', 'token', { 'x-tenant': issuer }))),
    ],
    [
      'requireActive()',
      async (server, issuer) => {
        const req = requestOf('alice', 'token', { 'x-tenant': issuer });
        const authorization = await server.authorize(req);
        return outcomeOf(() => server.require(req, authorization, activeTokenPolicy));
      },
    ],
  ])('share no reading if another authorization server is meant: %s', async (_title, check) => {
    const pretended = ['a', 'b'].map((name) =>
      pretendServer(() => boundClaims(alice, { sub: name }), `https://${name}.example.com`),
    );
    const server = startTwo(pretended);
    expect(await Promise.all(['a', 'b'].map((issuer) => check(server, issuer)))).toEqual([
      'admitted',
      'admitted',
    ]);
    const [first, second] = pretended.map(({ asked }) => asked.length);
    expect(first).toBeGreaterThan(0);
    expect(second).toBe(first);
  });
});

describe('a client with tokens of two issuers', () => {
  /** `a` answers as given, and `b` knows the tokens of alice. */
  function sendWhere(answerOfA: (token: string) => object | Promise<object>) {
    const server = startTwo(
      [pretendServer(answerOfA, 'https://a.example.com'), pretendServer(claimsOf, 'https://b.example.com')],
      { floodGuard: { address: false, allowance: 30, window: 3_600 } },
    );
    return (tenant: string, token: string) =>
      outcomeOf(() => server.authorize(requestOf('alice', token, { 'x-tenant': tenant })));
  }

  it('is accepted by its tokens of one after trouble of the other used up its allowance there', async () => {
    const send = sendWhere(() => new Response('', { status: 500 }));
    for (let at = 0; at < 30; at += 1) {
      expect(await send('a', `alice-${at}`)).toBe('authorization_server_failed');
    }
    expect(await send('a', 'alice-31')).toBe('authorization_server_not_asked');
    expect(await send('b', 'alice-token')).toBe('admitted');
  });

  it('is accepted by its tokens of one while the other answers slowly', async () => {
    const { opened, open } = gate();
    const send = sendWhere(async (token) => {
      await opened;
      return claimsOf(token);
    });
    const slow = Array.from({ length: 25 }, (_, at) => send('a', `alice-${at}`));
    expect(await send('b', 'alice-token')).toBe('admitted');
    open();
    expect(await Promise.all(slow)).toEqual(slow.map(() => 'admitted'));
  });
});

describe('a request that waits for a place of its client', () => {
  /** Takes all places of alice, until `open()` is called. */
  function hold() {
    const { opened, open } = gate();
    const api = start({ floodGuard: { address: false, allowance: 100 } }, async (token) => {
      if (token.startsWith('held-')) {
        await opened;
      }
      return claimsOf(token);
    });
    const held = Array.from({ length: 20 }, (_, at) => api.send('alice', `held-${at}`));
    return { ...api, open, held };
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it('does not ask if another client asked meanwhile', async () => {
    const { send, asked, open, held } = hold();
    await vi.waitFor(() => expect(asked).toHaveLength(20));
    const waiting = send('alice', 'bob-token');
    await turn();
    expect(asked).toHaveLength(20);
    expect(await send('bob', 'bob-token')).toBe('admitted');
    open();
    expect(await waiting).toBe('certificate_mismatch');
    await Promise.all(held);
    expect(asked.slice(20)).toEqual(['bob-token']);
  });

  it('does not ask once the resource server is closed', async () => {
    const { server, send, asked, open, held } = hold();
    await vi.waitFor(() => expect(asked).toHaveLength(20));
    const waiting = send('alice', 'alice-token');
    await turn();
    const closed = server.close();
    open();
    expect(await waiting).toBe('shutting_down');
    await Promise.all([...held, closed]);
    expect(asked).toHaveLength(20);
  });
});
