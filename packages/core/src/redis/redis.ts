import type { SharedLock } from '../cache/shared-cache.js';
import type { ProofStore } from '../dpop/proof-recorder.js';
import { TellableError } from '../errors.js';
import type { RevocationChannel, RevocationChannelListener } from '../revocation/revocation-channel.js';
import type { RevocationLog, RevocationLogPage, RevocationLogQuery } from '../revocation/revocation-log.js';
import { onlyArgument, refuseFurtherArguments } from '../shared/call-arguments.js';
import {
  type OptionsOf,
  optionGroup,
  readOptions,
  wholeNumber,
  withDefault,
} from '../shared/option-group.js';
import { checkOption, requireMethods, text } from '../shared/option-rules.js';
import { callAll, ignoreRejection, isPromise } from '../shared/promises.js';

/** The methods that this library calls of a connected client of node-redis, version 4 or later. */
export interface RedisClient {
  set(key: string, value: string, options: { NX: true; PX: number }): Promise<unknown>;
  del(key: string): Promise<unknown>;
  publish(channel: string, message: string): Promise<unknown>;
  /** A second connection: one that listens can do nothing else. */
  duplicate(): RedisSubscriber;
}

/** The methods that this library calls of the client's second connection, which listens. */
export interface RedisSubscriber {
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  on(event: 'error' | 'reconnecting' | 'end' | 'ready', listener: (error?: unknown) => void): unknown;
  destroy?(): unknown;
  disconnect?(): unknown;
}

/**
 * For `revocations.channel`: Redis publishes to each process that listens. `name` is the Redis
 * channel's, and the same in each process: a message that another Redis channel had is ignored.
 *
 * @example
 * mtlsBound({ revocations: { channel: redisChannel(client), secret } })
 */
export function redisChannel(client: RedisClient, name?: string): RevocationChannel;
export function redisChannel(...args: [client: RedisClient, name?: string]): RevocationChannel {
  refuseFurtherArguments('redisChannel()', args, 2, 'a client and the name of a channel');
  const [client, name = 'mtls-bound:revocations'] = args;
  requireMethods('redisChannel(client)', client, ['publish', 'duplicate']);
  checkOption('redisChannel(name)', text, name);
  return {
    id: name,
    publish: (message) => client.publish(name, message),
    async subscribe({ message, interrupted, restored }: RevocationChannelListener, signal?: AbortSignal) {
      // A signal that is aborted calls no listener: nothing would end the connection.
      signal?.throwIfAborted();
      const subscriber = duplicated(client.duplicate());
      let isListening = false;
      let isGivenUp = false;
      const end = async () => {
        isGivenUp = true;
        return (subscriber.destroy ?? subscriber.disconnect)?.call(subscriber);
      };
      let trouble: unknown;
      // Without an end, a client that waits for Redis would keep the process alive.
      const abandoned =
        signal &&
        abandonedBy(signal, { end: () => void end().catch(() => undefined), trouble: () => trouble });
      const onInterrupted = (error?: unknown) => {
        trouble = error ?? trouble;
        if (!isGivenUp) {
          interrupted(error);
        }
      };
      const listen = (
        event: 'error' | 'reconnecting' | 'end' | 'ready',
        hear: (error?: unknown) => void,
      ): void => ignoreRejection(subscriber.on(event, hear));
      listen('error', onInterrupted);
      listen('reconnecting', onInterrupted);
      listen('end', onInterrupted);
      // The client subscribes again by itself before it emits `ready`. The first subscription is
      // confirmed by the return of this function.
      const onReady = () => isListening && restored();
      // A client that is ended while it connects may connect all the same.
      listen('ready', () => (isGivenUp ? void end().catch(() => undefined) : onReady()));
      try {
        const join = async () => {
          await subscriber.connect();
          await subscriber.subscribe(name, message);
        };
        const joining = join();
        ignoreRejection(joining);
        await Promise.race([joining, ...(abandoned === undefined ? [] : [abandoned.rejection])]);
      } catch (error) {
        // A Redis user without the right to subscribe must not leave a connection behind at each
        // attempt.
        await end().catch(() => undefined);
        throw error;
      }
      isListening = true;
      return end;
    },
  };
}

/**
 * What `redisLog()` uses of a client of node-redis, version 4 or later, connected: Redis 6.2 or
 * later, alone, with Sentinel or as a Cluster.
 */
export interface RedisLogClient {
  /**
   * Connections of the log's own, which it ends when they fall silent: one waits for entries, one
   * writes them.
   */
  duplicate(overrides?: object): RedisLogConnection;
}

/** The commands of `redisLog()`. */
export interface RedisLogCommands {
  get(key: string): Promise<unknown>;
  set(key: string, value: string, options?: { NX?: true; PX?: number }): Promise<unknown>;
  xAdd(key: string, id: string, message: { entry: string }, options: RedisTrim): Promise<unknown>;
  xInfoStream(key: string): Promise<unknown>;
  xRange(key: string, start: string, end: string, options: { COUNT: number }): Promise<unknown>;
  xRead(stream: { key: string; id: string }, options: { COUNT: number; BLOCK: number }): Promise<unknown>;
  /** For `replicas`, except in a Cluster. */
  wait?(replicas: number, timeout: number): Promise<unknown>;
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

/** What `redisLog()` uses of a connection of its own. */
export interface RedisLogConnection extends RedisLogCommands {
  /** Of a client for Sentinel: runs commands in order on one connection to the master. */
  use?<T>(run: (client: RedisLogCommands) => Promise<T>): Promise<T>;
  /** Of a client for a Cluster. */
  readonly slots?: unknown;
  /** Sends any command; for `WAIT` in a Cluster. */
  // biome-ignore lint/suspicious/noExplicitAny: each kind of client takes other parameters
  sendCommand?(...parameters: any[]): Promise<unknown>;
  connect(): Promise<unknown>;
  on(event: 'connect' | 'error' | 'ready', listener: (error?: unknown) => void): unknown;
  /** Ends the connection at once (version 5 or later). Default: `disconnect` is called. */
  destroy?(): unknown;
  /** Ends the connection at once (version 4). Default: not called. */
  disconnect?(): unknown;
}

export const redisLogOptions = optionGroup({
  /**
   * The name of the stream. The log's header has the key of this name and `:name`, with `{...}`
   * around the name if it has none, so that a Cluster keeps them together.
   * Default `mtls-bound:{revocations}`.
   */
  name: withDefault(text, 'mtls-bound:{revocations}'),
  /**
   * How many replicas must have a revocation before `revoke()` resolves. With 1 or more, a failover
   * to one of these replicas loses no revocation that was confirmed. Default 0; from 0 to 10.
   */
  replicas: wholeNumber({ min: 0, max: 10, default: 0 }),
});

/** Where `redisLog()` keeps the log, and how safely. */
export interface RedisLogOptions extends OptionsOf<typeof redisLogOptions> {}

/**
 * Entries read at once; fewer after trouble, which may be that Redis does not send so much at once.
 */
const MAX_PAGE = 1_000;
const MIN_PAGE = 10;

/** Milliseconds that replicas have. */
const REPLICAS_TIMEOUT = 1_000;

/** Reads are from the master, and blocking reads take their time. */
const OVERRIDES = { commandOptions: {}, replicaPoolSize: 0, useReplicas: false };

/**
 * For `revocations.log`: a stream of Redis that keeps the revocations of a fleet. A process that
 * starts, or was cut off, reads what it missed.
 *
 * @example
 * mtlsBound({ revocations: { log: redisLog(client), secret } })
 */
export function redisLog(client: RedisLogClient, options?: RedisLogOptions): RevocationLog;
export function redisLog(...args: [client: RedisLogClient, options?: RedisLogOptions]): RevocationLog {
  refuseFurtherArguments('redisLog()', args, 2, 'a client and one object of options');
  const [client, options = {}] = args;
  requireMethods('redisLog(client)', client, ['duplicate']);
  const { name, replicas } = readOptions('redisLog(options)', options, redisLogOptions);
  // In a Cluster on the node of the stream, so that both are read in order.
  const headerKey = name.includes('{') ? `${name}:name` : `{${name}}:name`;
  /** Connections that are not in use now. */
  const idle: Connection[] = [];
  /** How often all connections were given up. One from before is not used again. */
  let reconnects = 0;
  /** Whether this process has read the key as a log. */
  let hasRead = false;
  /**
   * The newest entry's time by Redis' clock, in milliseconds, and not later than this process'
   * clock: neither a wrong clock of this process nor an id in the future must trim what still
   * counts.
   */
  let newestAt: number | undefined;
  let pageSize = MAX_PAGE;

  function endIdle(): void {
    for (const one of idle.splice(0)) {
      one.end();
    }
  }

  /**
   * Runs commands on a connection of their own. One that failed or fell silent is never used again,
   * and never left behind.
   */
  async function connected<T>(
    run: (redis: RedisLogConnection) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    // A signal that is aborted calls no listener: nothing would end the connection.
    signal.throwIfAborted();
    const own = idle.pop() ?? connectionBy(client);
    const openedAfter = reconnects;
    const abandoned = abandonedBy(signal, own);
    try {
      const running = own.connected.then(run);
      ignoreRejection(running);
      const result = await Promise.race([running, abandoned.rejection]);
      if (openedAfter !== reconnects) {
        own.end();
      } else if (!signal.aborted) {
        idle.push(own);
      }
      return result;
    } catch (error) {
      own.end();
      // What one met the others may have met unnoticed.
      endIdle();
      throw error;
    } finally {
      abandoned.forget();
    }
  }

  /**
   * Both commands go out together on one connection: on another one, `WAIT` would not wait for this
   * entry.
   */
  async function write(
    writer: RedisLogCommands,
    entry: string,
    trim: RedisTrim,
    wait: () => Promise<unknown> | undefined,
  ): Promise<string> {
    const [id, keeping] = await callAll([
      () => writer.xAdd(name, '*', { entry }, trim),
      () => (replicas > 0 ? wait() : 0),
    ] as const);
    if (!(Number(keeping) >= replicas)) {
      throw new TellableError(`${keeping} replicas have the entry; expected ${replicas}`);
    }
    return positionOf(id);
  }

  /**
   * Removes a key in which no log can be kept, as a deletion would: processes notice the loss,
   * vouch for nothing from before, and write again what they remember. By `SET`, for which the log
   * has the right anyway. A key from before this process first read the log stays: with a wrong
   * `name` it belongs to another program. Returns the error of the reading.
   */
  async function removeUnusable(why: string, redis: RedisLogCommands): Promise<Error> {
    const repair = `DEL ${name}`;
    if (!hasRead) {
      return new TellableError(
        `the key ${name} ${why}: give redisLog() another name, or run ${repair} if no other program uses it`,
      );
    }
    try {
      await redis.set(name, '', { PX: 1 });
      return new TellableError(`the key ${name} ${why}; it was removed, as ${repair} does`);
    } catch {
      return new TellableError(`the key ${name} ${why}, and can not be removed: run ${repair}`);
    }
  }

  return {
    id: name,
    setHeader: (value, mustReplace, signal) =>
      connected(async (redis) => {
        await redis.set(headerKey, value, mustReplace ? {} : { NX: true });
        return (await headerIn(redis, headerKey)) ?? '';
      }, signal),

    append(entry, keepFor, signal) {
      const threshold = Math.max(0, Math.floor((newestAt ?? 0) - keepFor));
      const trim = { TRIM: { strategy: 'MINID', strategyModifier: '~', threshold } } as const;
      return connected((redis) => {
        if (redis.slots !== undefined) {
          const command = ['WAIT', String(replicas), String(REPLICAS_TIMEOUT)];
          return write(redis, entry, trim, () => redis.sendCommand?.(name, false, command));
        }
        return onOne(redis, (one) => write(one, entry, trim, () => one.wait?.(replicas, REPLICAS_TIMEOUT)));
      }, signal);
    },

    async read({
      after,
      wait,
      signal,
      mustReconnect = false,
    }: RevocationLogQuery): Promise<RevocationLogPage> {
      if (mustReconnect) {
        // Reading and writing then go to one server: a write under way ends its connection too.
        reconnects += 1;
        endIdle();
      }
      const first = idOf(after);
      const count = pageSize;
      // Smaller until it went well.
      pageSize = Math.max(MIN_PAGE, Math.floor(count / 2));
      const page = await connected(
        (connection) =>
          onOne(connection, async (redis) => {
            // Sent at once and done in order. The second waits until there is something to read;
            // its answer has another form with each version of the client.
            const [lastGiven, , read, header] = await callAll([
              () => lastIn(redis, name),
              () => redis.xRead({ key: name, id: first }, { COUNT: 1, BLOCK: Math.max(1, Math.ceil(wait)) }),
              () => redis.xRange(name, first, '+', { COUNT: count }),
              () => headerIn(redis, headerKey),
            ] as const).catch(async (error: unknown) => {
              throw isOfWrongType(error) ? await removeUnusable('is not a stream', redis) : error;
            });
            if (timeOf(lastGiven) > Number.MAX_SAFE_INTEGER) {
              throw await removeUnusable(
                'had an id of no time, which leaves none for further entries',
                redis,
              );
            }
            return { lastGiven, read: entriesIn(read), header };
          }),
        signal,
      );
      hasRead = true;
      newestAt = page.lastGiven === undefined ? undefined : Math.min(timeOf(page.lastGiven), Date.now());
      pageSize = page.read.length < count ? MAX_PAGE : count;
      const hasPrecedingEntry = after === undefined || page.read[0]?.position === after;
      return {
        header: page.header,
        lastGiven: page.lastGiven,
        hasPrecedingEntry,
        entries: page.read.filter(({ position }) => position !== after),
      };
    },

    close: endIdle,
  };
}

/** A client for Sentinel has several connections; on one of them commands are done in order. */
function onOne<T>(redis: RedisLogConnection, run: (one: RedisLogCommands) => Promise<T>): Promise<T> {
  if (redis.use === undefined) {
    return run(redis);
  }
  return redis.use((one) => {
    const running = run(one);
    // A client may give up before.
    ignoreRejection(running);
    return running;
  });
}

/** Throws for a promise: its rejection is handled, and a connection has none. */
function duplicated<T>(connection: T): T {
  if (isPromise(connection)) {
    throw new TellableError('duplicate() of the Redis client returned a promise; expected a client');
  }
  return connection;
}

/** A connection of the log's own, on its way or there. */
interface Connection {
  readonly connected: Promise<RedisLogConnection>;
  /** Ends it for good, also while it is on its way. */
  end(): void;
  /** Why it is not connected, as the client emitted it last: the client tries again and again. */
  trouble(): unknown;
}

/** Ends a connection when the signal fires. Rejects then if the connection knows why it is not there. */
function abandonedBy(
  signal: AbortSignal,
  { end, trouble }: Pick<Connection, 'end' | 'trouble'>,
): { readonly rejection: Promise<never>; forget(): void } {
  let onAbort = end;
  const rejection = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      const why = trouble();
      end();
      if (why !== undefined) {
        reject(why);
      }
    };
  });
  ignoreRejection(rejection);
  signal.addEventListener('abort', onAbort, { once: true });
  return { rejection, forget: () => signal.removeEventListener('abort', onAbort) };
}

function connectionBy(client: RedisLogClient): Connection {
  const opened = duplicated(client.duplicate(OVERRIDES));
  let isEnded = false;
  const end = (): void => {
    isEnded = true;
    void Promise.resolve()
      .then(() => (opened.destroy ?? opened.disconnect)?.call(opened))
      .catch(() => undefined);
  };
  const endAgain = (): unknown => isEnded && end();
  let trouble: unknown;
  // Without a listener the process would end.
  ignoreRejection(
    opened.on('error', (error) => {
      trouble = error;
    }),
  );
  const markReady = (): void => {
    trouble = undefined;
    endAgain();
  };
  // A client that is ended while it connects may connect all the same.
  ignoreRejection(opened.on('connect', endAgain));
  ignoreRejection(opened.on('ready', markReady));
  const connect = async (): Promise<RedisLogConnection> => {
    await opened.connect();
    return opened;
  };
  const connected = connect();
  ignoreRejection(connected);
  return { connected, end, trouble: () => trouble };
}

/** The position that a stream gave last. An entry that is deleted leaves it as it is. */
async function lastIn(redis: RedisLogCommands, name: string): Promise<string | undefined> {
  const id = lastIdOf(await streamOf(redis, name));
  return id === undefined || id === '0-0' ? undefined : positionOf(id);
}

/**
 * The header that the log has; undefined where it has none. What is no text is replaced as a forged
 * one.
 */
async function headerIn(redis: RedisLogCommands, key: string): Promise<string | undefined> {
  try {
    const header = await redis.get(key);
    return header === null ? undefined : String(header);
  } catch (error) {
    if (isOfWrongType(error)) {
      return '';
    }
    throw error;
  }
}

/** Whether Redis says that a key holds another type than the command needs. */
function isOfWrongType(error: unknown): boolean {
  return /^WRONGTYPE\b/.test(String(Object(error).message));
}

/** The milliseconds in the id of a position; 0 without one. */
function timeOf(position: string | undefined): number {
  return Number.parseInt(idOf(position), 10);
}

/** What Redis says of a stream; undefined where there is none. */
async function streamOf(redis: RedisLogCommands, name: string): Promise<unknown> {
  try {
    return await redis.xInfoStream(name);
  } catch (error) {
    // Redis has no code for this: ERR stands before the text, as before that of an unknown command. EXISTS
    // would need a further right, and its answer may be outdated when XINFO is done.
    if (/no such key/i.test(String(error))) {
      return undefined;
    }
    throw error;
  }
}

/** Each version of the client names it in another way. */
function lastIdOf(stream: unknown): string | undefined {
  if (stream === undefined) {
    return undefined;
  }
  const { lastGeneratedId, 'last-generated-id': lastId = lastGeneratedId } = Object(stream);
  if (lastId === undefined) {
    throw new TellableError('XINFO STREAM did not answer with the last id of the stream');
  }
  return String(lastId);
}

interface RedisMessage {
  readonly id: unknown;
  readonly message?: { readonly entry?: unknown };
}

function entriesIn(answer: unknown): { position: string; entry: string }[] {
  const messages: RedisMessage[] = Array.isArray(answer) ? answer : [];
  return messages.map(({ id, message }) => ({ position: positionOf(id), entry: String(message?.entry) }));
}

/**
 * An id of Redis is two numbers. With a letter before each that says how many digits it has, ids
 * are ordered as text. The engine keeps the parts of a template next to the whole, and those of
 * `join` not.
 */
function positionOf(id: unknown): string {
  const [milliseconds = '', number = ''] = String(id).split('-');
  return [letterOf(milliseconds), milliseconds, '-', letterOf(number), number].join('');
}

/** A to T for 1 to 20 digits. */
function letterOf(digits: string): string {
  return String.fromCharCode(64 + digits.length);
}

function idOf(position: string | undefined): string {
  return position === undefined
    ? '0'
    : position
        .split('-')
        .map((part) => part.slice(1))
        .join('-');
}

/**
 * A lock in Redis for `sharedCache.lock`: of several processes that receive the same unknown token,
 * one introspects it.
 */
export function redisLock(client: RedisClient): SharedLock;
export function redisLock(...args: [client: RedisClient]): SharedLock {
  const client = onlyArgument('redisLock()', args, 'one client');
  requireMethods('redisLock(client)', client, ['set', 'del']);
  return {
    acquire: async (name, ttl) => (await client.set(name, '1', { NX: true, PX: Math.ceil(ttl) })) !== null,
    release: (name) => client.del(name),
  };
}

/**
 * A record of used DPoP proofs in Redis for `dpop.store`: of several requests with one proof, in
 * any process, one is accepted (RFC 9449 §11.1). Throws `ConfigurationError` for what is no client.
 *
 * @example
 * const mtls = mtlsBound({ dpop: { origin: 'https://api.example.com', store: redisProofs(client) } });
 */
export function redisProofs(client: Pick<RedisClient, 'set'>): ProofStore;
export function redisProofs(...args: [client: Pick<RedisClient, 'set'>]): ProofStore {
  const client = onlyArgument('redisProofs()', args, 'one client');
  requireMethods('redisProofs(client)', client, ['set']);
  return {
    async add(name, ttl) {
      const reply: unknown = await client.set(`mtls-bound:proof:${name}`, '1', {
        NX: true,
        PX: Math.ceil(ttl),
      });
      return String(reply) === 'OK';
    },
  };
}
