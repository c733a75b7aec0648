// How node-redis is called. What comes of it with a real Redis: test/integration/fleet.
import { describe, expect, it, vi } from 'vitest';
import { redisChannel, redisLock, redisLog } from '../../../packages/core/src/redis/redis.js';

function fakeRedis() {
  const events = new Map<string, () => void>();
  const order: string[] = [];
  const subscriber = {
    connect: vi.fn(async () => void order.push('connect')),
    subscribe: vi.fn(async () => void order.push('subscribe')),
    on: vi.fn((event: string, listener: () => void) => void events.set(event, listener)),
    destroy: vi.fn(function (this: unknown) {
      order.push('destroy');
      return this;
    }),
  };
  const client = {
    set: vi.fn(async (): Promise<unknown> => 'OK'),
    del: vi.fn(async () => 1),
    publish: vi.fn(async () => 2),
    duplicate: () => subscriber,
  };
  return { client, subscriber, emit: (event: string) => events.get(event)?.(), order };
}

const listener = () => ({ message: vi.fn(), interrupted: vi.fn(), restored: vi.fn() });

describe('redisChannel()', () => {
  it.each([
    ['a name of its own', undefined, 'mtls-bound:revocations'],
    ['the name that is given', 'revoked', 'revoked'],
  ])('publishes and listens under %s', async (_, name, expected) => {
    const { client, subscriber, order } = fakeRedis();
    const { message, ...rest } = listener();
    const channel = redisChannel(client, name);
    expect(await channel.publish('sealed')).toBe(2);
    await channel.subscribe({ message, ...rest });
    expect(client.publish.mock.calls).toEqual([[expected, 'sealed']]);
    expect(subscriber.subscribe.mock.calls).toEqual([[expected, message]]);
    expect(order).toEqual(['connect', 'subscribe']);
  });

  it.each(['error', 'reconnecting', 'end'])('%s: messages may be missed', async (event) => {
    const { client, emit } = fakeRedis();
    const { interrupted, ...rest } = listener();
    await redisChannel(client).subscribe({ interrupted, ...rest });
    expect(interrupted).not.toHaveBeenCalled();
    emit(event);
    expect(interrupted).toHaveBeenCalledOnce();
    expect(rest.restored).not.toHaveBeenCalled();
  });

  it('ready is told once it listens, and not before', async () => {
    const { client, subscriber, emit } = fakeRedis();
    const heard = listener();
    subscriber.connect.mockImplementation(async () => void emit('ready'));
    await redisChannel(client).subscribe(heard);
    expect(heard.restored).not.toHaveBeenCalled();
    emit('ready');
    expect(heard.restored).toHaveBeenCalledOnce();
  });

  it('is ended by destroy(), or by disconnect() of the client’s version 4', async () => {
    const five = fakeRedis();
    const end = await redisChannel(five.client).subscribe(listener());
    expect(await end()).toBe(five.subscriber);
    expect(five.order.at(-1)).toBe('destroy');

    const four = fakeRedis();
    const disconnect = vi.fn(async () => 'gone');
    const { destroy: _, ...older } = four.subscriber;
    const client = { ...four.client, duplicate: () => ({ ...older, disconnect }) };
    expect(await (await redisChannel(client).subscribe(listener()))()).toBe('gone');

    const neither = { ...four.client, duplicate: () => older };
    expect(await (await redisChannel(neither).subscribe(listener()))()).toBeUndefined();
  });
});

describe('redisChannel() that can not listen', () => {
  it.each(['connect', 'subscribe'] as const)('ends its connection when %s fails', async (step) => {
    const { client, subscriber, emit, order } = fakeRedis();
    const heard = listener();
    subscriber[step].mockRejectedValue(new Error('NOPERM'));
    await expect(redisChannel(client).subscribe(heard)).rejects.toThrow('NOPERM');
    expect(order.at(-1)).toBe('destroy');
    emit('reconnecting');
    emit('ready');
    expect(heard.interrupted).not.toHaveBeenCalled();
    expect(heard.restored).not.toHaveBeenCalled();
  });

  it('ends its connection when close() runs while it waits for Redis', async () => {
    const { client, subscriber, order } = fakeRedis();
    const closing = new AbortController();
    subscriber.connect.mockImplementation(
      () =>
        new Promise((_, reject) => subscriber.destroy.mockImplementation(() => reject(order.push('gone')))),
    );
    const joining = redisChannel(client).subscribe(listener(), closing.signal);
    closing.abort();
    await expect(joining).rejects.toBeDefined();
    expect(order).toContain('gone');
  });
});

describe('redisLog()', () => {
  const fail = (): never => {
    throw new Error('of the client');
  };
  const reject = async () => fail();

  it.each([
    ['read', { xInfoStream: reject, xRead: fail }],
    ['append', { xAdd: reject, wait: fail }],
  ] as const)(
    '%s: a command that throws after one that rejects leaves no rejection',
    async (method, failing) => {
      const ended = vi.fn();
      process.on('unhandledRejection', ended);
      const connection = { connect: async () => undefined, on: () => undefined, ...failing };
      const log = redisLog({ duplicate: () => connection as never }, { replicas: 1 });
      const { signal } = new AbortController();
      const run = {
        read: () => log.read({ after: undefined, wait: 1, signal }),
        append: () => log.append('entry', 1, signal),
      };
      await expect(run[method]()).rejects.toThrow('of the client');
      await new Promise((resolve) => setTimeout(resolve, 5));
      process.off('unhandledRejection', ended);
      expect(ended).not.toHaveBeenCalled();
    },
  );
});

describe('redisLog() that reads over a new connection', () => {
  /** A client whose connections each write when they are told to. */
  function connectionsOfLog() {
    const connections: { destroy: ReturnType<typeof vi.fn>; written: (id: string) => void }[] = [];
    const duplicate = () => {
      let written: (id: string) => void = () => undefined;
      const connection = {
        connect: async () => undefined,
        on: () => undefined,
        destroy: vi.fn(),
        xAdd: () => new Promise((resolve) => (written = resolve)),
        xInfoStream: async () => ({ 'last-generated-id': '0-0' }),
        xRead: async () => null,
        xRange: async () => [],
        get: async () => 'name',
      };
      connections.push({ destroy: connection.destroy, written: (id) => written(id) });
      return connection as never;
    };
    return { connections, log: redisLog({ duplicate }) };
  }

  it('does not use a connection again that was writing meanwhile', async () => {
    const { connections, log } = connectionsOfLog();
    const { signal } = new AbortController();
    const query = { after: undefined, wait: 1, signal };
    const writing = log.append('entry', 1, signal);
    await log.read(query);
    await log.read({ ...query, mustReconnect: true });
    expect(connections.map(({ destroy }) => destroy.mock.calls.length)).toEqual([0, 1, 0]);
    connections[0]?.written('1-0');
    expect(await writing).toBe('A1-A0');
    await vi.waitFor(() => expect(connections[0]?.destroy).toHaveBeenCalled());
    await log.read(query);
    await log.read(query);
    expect(connections).toHaveLength(3);
  });
});

describe('a signal that is aborted before the call', () => {
  const signal = AbortSignal.abort();
  it.each([
    ['redisLog().open()', (client: never) => redisLog(client).setHeader('name', false, signal)],
    ['redisLog().append()', (client: never) => redisLog(client).append('entry', 1, signal)],
    ['redisLog().read()', (client: never) => redisLog(client).read({ after: undefined, wait: 1, signal })],
    ['redisChannel().subscribe()', (client: never) => redisChannel(client).subscribe(listener(), signal)],
  ])('%s opens no connection', async (_call, run) => {
    const duplicate = vi.fn(fakeRedis().client.duplicate);
    await expect(run({ publish: vi.fn(), duplicate } as never)).rejects.toBe(signal.reason);
    expect(duplicate).not.toHaveBeenCalled();
  });
});

describe('redisLock()', () => {
  it('the process that sets the key first gets the lock, for whole milliseconds', async () => {
    const { client } = fakeRedis();
    const lock = redisLock(client);
    expect(await lock.acquire('claim', 1_999.2)).toBe(true);
    client.set.mockResolvedValue(null);
    expect(await lock.acquire('claim', 5)).toBe(false);
    expect(client.set.mock.calls).toEqual([
      ['claim', '1', { NX: true, PX: 2_000 }],
      ['claim', '1', { NX: true, PX: 5 }],
    ]);
  });

  it('release() deletes the key', async () => {
    const { client } = fakeRedis();
    await redisLock(client).release('claim');
    expect(client.del.mock.calls).toEqual([['claim']]);
  });
});
