// Every function that a user gives may throw, reject, return a thenable of any make or never settle. Then a request is accepted or
// gets 503, `revoke()` and `close()` settle, and the process goes on.
import {
  createResourceServer,
  type ResourceServerOptions,
  redisChannel,
  redisLock,
  redisLog,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryLog } from '../../support/memory-log.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const kit = await createTestKit();

const ended = vi.fn();
beforeEach(() => {
  ended.mockClear();
  process.on('unhandledRejection', ended).on('uncaughtException', ended);
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
  process.off('unhandledRejection', ended).off('uncaughtException', ended);
  vi.restoreAllMocks();
});

const fail = (): never => {
  throw new Error('of the user');
};
const thenable = (then: (resolve: unknown, reject: (error: unknown) => void) => void) => ({ then });
const failures: [string, () => unknown][] = [
  ['throws', fail],
  ['rejects', async () => fail()],
  ['rejects later', () => new Promise((_, reject) => setImmediate(() => reject(new Error('of the user'))))],
  ['returns a thenable that rejects', () => thenable((_, reject) => reject(0))],
  ['returns a thenable whose then throws', () => thenable(fail)],
  ['returns an object whose getter then throws', () => Object.defineProperty({}, 'then', { get: fail })],
  ['returns a promise that never settles', () => new Promise(() => undefined)],
  ['returns nothing', () => undefined],
];

type Fail = () => unknown;
const secret = 'a secret of at least 32 characters';

/** A client of Redis that remembers nothing, whose method `name` fails. */
function redisWith(name: string, failing: Fail) {
  const connection: Record<string, unknown> = {
    connect: async () => undefined,
    subscribe: async () => undefined,
    publish: async () => 1,
    on: () => undefined,
    destroy: () => undefined,
    set: async () => 'OK',
    get: async () => 'name',
    del: async () => 1,
    xAdd: async () => '1-0',
    xRange: async () => [],
    xRead: async () => null,
    xInfoStream: async () => ({ 'last-generated-id': '1-0' }),
    wait: async () => 1,
    sendCommand: async () => 1,
  };
  connection.duplicate = () => connection;
  if (name === 'use') {
    connection.use = failing;
  } else if (name === 'use, once it runs') {
    connection.use = (run: (client: unknown) => Promise<unknown>) => {
      run({ ...connection, xAdd: async () => fail(), xRange: async () => fail() });
      return failing();
    };
  } else if (name === 'sendCommand') {
    Object.assign(connection, { slots: {}, sendCommand: failing });
  } else {
    connection[name] = failing;
  }
  return connection as never;
}

const stored = new Map<string, string>();
const store = {
  get: async (key: string): Promise<unknown> => stored.get(key),
  set: async (key: string, value: string): Promise<unknown> => stored.set(key, value),
};
const lock = { acquire: async () => true, release: async () => undefined };
const channel = { publish: async () => undefined, subscribe: async () => async () => undefined };

const withRedis = (make: (client: never) => ResourceServerOptions, names: readonly string[]) =>
  names.map((name): [string, (failing: Fail) => ResourceServerOptions] => [
    name,
    (failing) => make(redisWith(name, failing)),
  ]);
const named = (group: string, list: [string, (failing: Fail) => ResourceServerOptions][]) =>
  list.map(([name, make]): [string, (failing: Fail) => ResourceServerOptions] => [`${group}.${name}`, make]);

const functions: [string, (failing: Fail) => ResourceServerOptions][] = [
  ...named(
    'redisChannel()',
    withRedis(
      (client) => ({ revocations: { channel: redisChannel(client), secret } }),
      [...['duplicate', 'on', 'connect', 'subscribe', 'publish', 'destroy']],
    ),
  ),
  ...named(
    'redisLog()',
    withRedis(
      (client) => ({ revocations: { log: redisLog(client, { replicas: 1 }), secret } }),
      [
        ...['duplicate', 'on', 'connect', 'set', 'get', 'xAdd', 'xRange', 'xRead', 'xInfoStream', 'wait'],
        ...['destroy', 'use', 'use, once it runs', 'sendCommand'],
      ],
    ),
  ),
  ...named(
    'redisLock()',
    withRedis((client) => ({ sharedCache: { store, secret, lock: redisLock(client) } }), ['set', 'del']),
  ),
  ...['get', 'set', 'on'].map((name): [string, (failing: Fail) => ResourceServerOptions] => [
    `sharedCache.store.${name}`,
    (failing) => ({ sharedCache: { store: { ...store, [name]: failing } as never, secret } }),
  ]),
  ...['acquire', 'release'].map((name): [string, (failing: Fail) => ResourceServerOptions] => [
    `sharedCache.lock.${name}`,
    (failing) => ({ sharedCache: { store, secret, lock: { ...lock, [name]: failing } as never } }),
  ]),
  ...['publish', 'subscribe'].map((name): [string, (failing: Fail) => ResourceServerOptions] => [
    `revocations.channel.${name}`,
    (failing) => ({ revocations: { channel: { ...channel, [name]: failing } as never, secret } }),
  ]),
  [
    'the end of a subscription',
    (failing) => ({
      revocations: { channel: { ...channel, subscribe: async () => failing } as never, secret },
    }),
  ],
  ...['setHeader', 'append', 'read', 'close'].map(
    (name): [string, (failing: Fail) => ResourceServerOptions] => [
      `revocations.log.${name}`,
      (failing) => ({ revocations: { log: Object.assign(new MemoryLog(), { [name]: failing }), secret } }),
    ],
  ),
  ['tokens', (failing) => ({ tokens: () => failing as never })],
  [
    'tokens, its introspect',
    (failing) => ({ tokens: () => Object.assign(failing, { introspect: failing }) as never }),
  ],
  ['http.fetch', (failing) => ({ http: { fetch: failing as never, timeout: 1 } })],
  [
    'on() of a body',
    (failing) => ({
      http: {
        timeout: 1,
        fetch: (async () => ({
          status: 500,
          headers: {},
          body: Object.assign([], { on: failing }),
        })) as never,
      },
    }),
  ],
  ['certificate', (failing) => ({ certificate: failing as never })],
];

/** Lets the time pass until the promise has settled. */
async function settled<T>(promise: Promise<T>): Promise<T | 'never settles'> {
  let isDone = false;
  const done = promise.finally(() => {
    isDone = true;
  });
  done.catch(() => undefined);
  for (let second = 0; second < 60 && !isDone; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return isDone ? done : 'never settles';
}

/** What only saves questions never keeps a request from being accepted. */
const isSharedCache = (name: string) => /^(?:sharedCache\.|redisLock\(\))/.test(name);

describe.each(functions)('%s', (name, optionsWith) => {
  it.each(failures)('that %s ends no process, and holds no request', async (_title, failing) => {
    stored.clear();
    const options = optionsOver(
      pretendServer(() => boundClaims(kit.certificate)),
      kit.certificate,
      { cache: { maxAge: 0 } },
    );
    const { http, ...more } = optionsWith(failing);
    const all = { ...options, ...more, http: { ...options.http, ...http } };
    let server: ReturnType<typeof createResourceServer>;
    try {
      server = createResourceServer(all);
    } catch (error) {
      // At start-up the error of a function that throws is the user's to see.
      expect([failing === fail, String(error)]).toEqual([true, 'Error: of the user']);
      return;
    }
    await vi.advanceTimersByTimeAsync(3_000);
    const outcomes = [];
    for (const token of ['one', 'two']) {
      outcomes.push(await settled(outcomeOf(() => server.authorize(requestWith(token)))));
    }
    for (const outcome of outcomes) {
      expect(outcome).toMatch(
        isSharedCache(name)
          ? /^admitted$/
          : /^(admitted|internal_error|certificate_missing|revocations_unknown|authorization_server_\w+)$/,
      );
    }
    const revoked = server.revoke({ subject: 'user-1' }).then(
      () => 'revoked',
      (error: { code?: unknown }) => error.code,
    );
    expect(await settled(revoked)).toMatch(/^(revoked|revocation_not_spread)$/);
    expect(await settled(server.close().then(() => 'closed'))).toBe('closed');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(ended.mock.calls).toEqual([]);
  });
});
