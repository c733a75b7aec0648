import { checked, requireMethods, text } from '../option-rules.js';
import type { ChannelListener, RevocationChannel } from './revocation-feed.js';
import type { LogPage, LogQuery, RevocationLog } from './revocation-log.js';
import type { Claims } from './shared-cache.js';

/** What we use of a client of node-redis, version 4 or later, connected. */
export interface RedisClient {
  set(key: string, value: string, options: { NX: true; PX: number }): Promise<unknown>;
  del(key: string): Promise<unknown>;
  publish(channel: string, message: string): Promise<unknown>;
  /** A second connection: one that listens can do nothing else. */
  duplicate(): RedisSubscriber;
}

/** What we use of the client's second connection, which listens. */
export interface RedisSubscriber {
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  on(event: 'error' | 'reconnecting' | 'end' | 'ready', listener: () => void): unknown;
  destroy?(): unknown;
  disconnect?(): unknown;
}

/**
 * For `revocations.channel`: Redis publishes to each process that listens. `name` is the Redis channel's.
 *
 * @example
 * mtlsBound({ revocations: { channel: redisChannel(client), secret } })
 */
export function redisChannel(client: RedisClient, name = 'mtls-bound:revocations'): RevocationChannel {
  requireMethods('redisChannel(client)', client, ['publish', 'duplicate']);
  checked('redisChannel(name)', text, name);
  return {
    publish: (message) => client.publish(name, message),
    async subscribe({ message, lost, restored }: ChannelListener, signal?: AbortSignal) {
      const subscriber = client.duplicate();
      let isListening = false;
      let isGivenUp = false;
      const end = async () => {
        isGivenUp = true;
        return (subscriber.destroy ?? subscriber.disconnect)?.call(subscriber);
      };
      // Without an end, a client that waits for Redis would keep the process alive.
      signal?.addEventListener('abort', () => void end().catch(() => undefined), { once: true });
      const onLost = () => isGivenUp || lost();
      subscriber.on('error', onLost);
      subscriber.on('reconnecting', onLost);
      subscriber.on('end', onLost);
      // The client subscribes anew by itself before it says that it is ready; the first time is told by our return.
      subscriber.on('ready', () => isListening && !isGivenUp && restored());
      try {
        await subscriber.connect();
        await subscriber.subscribe(name, message);
      } catch (error) {
        // A Redis user without the right to subscribe must not leave a connection behind at each attempt.
        await end().catch(() => undefined);
        throw error;
      }
      isListening = true;
      return end;
    },
  };
}

/** What `redisLog()` uses of a client of node-redis, version 4 or later, connected: Redis 6.2 or later, alone, with Sentinel or as a Cluster. */
export interface RedisLogClient extends RedisLogCommands {
  /** A second connection: one that waits for entries can do nothing else. */
  duplicate(): RedisLogReader;
}

/** The commands of `redisLog()`. */
export interface RedisLogCommands {
  get(key: string): Promise<unknown>;
  set(key: string, value: string, options?: { NX?: true }): Promise<unknown>;
  xAdd(key: string, id: string, message: { entry: string }, options: RedisTrim): Promise<unknown>;
  xRange(key: string, start: string, end: string, options: { COUNT: number }): Promise<unknown>;
  xRead(stream: { key: string; id: string }, options: { COUNT: number; BLOCK: number }): Promise<unknown>;
  xRevRange(key: string, end: string, start: string, options: { COUNT: number }): Promise<unknown>;
}

/** Which entries may go when one is added. */
export interface RedisTrim {
  readonly TRIM: {
    readonly strategy: 'MINID';
    readonly strategyModifier: '~';
    /** Milliseconds since the epoch. */
    readonly threshold: number;
  };
}

/** The client's second connection, which reads. */
export interface RedisLogReader extends RedisLogCommands {
  connect(): Promise<unknown>;
  on(event: 'connect' | 'error' | 'ready', listener: () => void): unknown;
  /** Ends the connection at once (version 5 or later). Default: `disconnect` is called. */
  destroy?(): unknown;
  /** Ends the connection at once (version 4). Default: not called. */
  disconnect?(): unknown;
}

/** Entries read at once; fewer after trouble, which may be that Redis does not send so much at once. */
const MAX_PAGE = 1_000;
const MIN_PAGE = 10;

/**
 * For `revocations.log`: a stream of Redis that keeps the revocations of a fleet. A process that starts, or was cut off, reads
 * what it missed. `name` is the stream's; what else is stored has names that begin with it. In a Cluster `{...}` in the name keeps them together.
 *
 * @example
 * mtlsBound({ revocations: { log: redisLog(client), secret } })
 */
export function redisLog(client: RedisLogClient, name = 'mtls-bound:{revocations}'): RevocationLog {
  requireMethods('redisLog(client)', client, ['get', 'set', 'xAdd', 'duplicate']);
  checked('redisLog(name)', text, name);
  const nameKey = `${name}:name`;
  let reader: Connection<RedisLogReader> | undefined;
  /** The newest entry's time by Redis' clock, in milliseconds: a clock of ours that is wrong must not trim what still counts. */
  let newestAt: number | undefined;
  let pageSize = MAX_PAGE;

  /** A connection that failed or fell silent is never used again, and never left behind. */
  function drop(dropped: Connection<RedisLogReader>): void {
    reader = reader === dropped ? undefined : reader;
    dropped.end();
  }

  return {
    async open(value, isReplacing) {
      await client.set(nameKey, value, isReplacing ? {} : { NX: true });
      return String(await client.get(nameKey));
    },

    async append(entry, keepFor) {
      const threshold = Math.max(0, Math.floor((newestAt ?? 0) - keepFor));
      const trim = { TRIM: { strategy: 'MINID', strategyModifier: '~', threshold } } as const;
      return positionOf(await client.xAdd(name, '*', { entry }, trim));
    },

    async read({ since, wait, signal }: LogQuery): Promise<LogPage> {
      reader ??= connectionBy(client);
      const own = reader;
      const onAbort = (): void => drop(own);
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        const redis = await own.connected;
        const last = newestOf(await redis.xRevRange(name, '+', '-', { COUNT: 1 }));
        const options = { COUNT: pageSize, BLOCK: Math.max(1, Math.ceil(wait)) };
        const page = await redis.xRead({ key: name, id: idOf(since) }, options);
        const [logName, known] = await Promise.all([
          redis.get(nameKey),
          since === undefined ? [] : redis.xRange(name, idOf(since), idOf(since), { COUNT: 1 }),
        ]);
        newestAt = last === undefined ? undefined : Number.parseInt(last, 10);
        const entries = streamsIn(page).flatMap(({ messages }) =>
          messagesIn(messages).map(({ id, message }) => ({
            position: positionOf(id),
            entry: String(message?.entry),
          })),
        );
        pageSize = entries.length < pageSize ? MAX_PAGE : pageSize;
        return {
          name: typeof logName === 'string' ? logName : undefined,
          last,
          hasSince: since === undefined || newestOf(known) === since,
          entries,
        };
      } catch (error) {
        pageSize = Math.max(MIN_PAGE, Math.floor(pageSize / 2));
        drop(own);
        throw error;
      } finally {
        signal.removeEventListener('abort', onAbort);
      }
    },
  };
}

/** The client's second connection, on its way or there. */
interface Connection<T> {
  readonly connected: Promise<T>;
  /** Ends it for good, also while it is on its way. */
  end(): void;
}

function connectionBy(client: RedisLogClient): Connection<RedisLogReader> {
  const opened = client.duplicate();
  let isEnded = false;
  const end = (): void => {
    isEnded = true;
    void Promise.resolve()
      .then(() => (opened.destroy ?? opened.disconnect)?.call(opened))
      .catch(() => undefined);
  };
  const endAgain = (): unknown => isEnded && end();
  // Without a listener the process would end. What fails is told by the command that fails.
  opened.on('error', () => undefined);
  // A client that is ended while it connects may connect all the same.
  opened.on('connect', endAgain);
  opened.on('ready', endAgain);
  const connected = opened.connect().then(() => opened);
  connected.catch(() => undefined);
  return { connected, end };
}

function newestOf(answer: unknown): string | undefined {
  return messagesIn(answer).map(({ id }) => positionOf(id))[0];
}

interface RedisMessage {
  readonly id: unknown;
  readonly message?: { readonly entry?: unknown };
}

function streamsIn(answer: unknown): { readonly messages: unknown }[] {
  return Array.isArray(answer) ? answer : [];
}

function messagesIn(answer: unknown): RedisMessage[] {
  return Array.isArray(answer) ? answer : [];
}

/** An id of Redis is two numbers; with a fixed number of digits they are ordered as text. */
function positionOf(id: unknown): string {
  const [milliseconds = '', number = ''] = String(id).split('-');
  return `${milliseconds.padStart(20, '0')}-${number.padStart(20, '0')}`;
}

function idOf(position: string | undefined): string {
  return position === undefined
    ? '0'
    : position
        .split('-')
        .map((part) => String(BigInt(part)))
        .join('-');
}

/** For `sharedCache.claims`: of several processes that meet the same unknown token, one asks. */
export function redisClaims(client: RedisClient): Claims {
  requireMethods('redisClaims(client)', client, ['set', 'del']);
  return {
    take: async (name, ttl) => (await client.set(name, '1', { NX: true, PX: Math.ceil(ttl) })) !== null,
    release: (name) => client.del(name),
  };
}
