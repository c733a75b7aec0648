import { checked, requireMethods, text } from '../option-rules.js';
import type { ChannelListener, RevocationChannel } from './revocation-feed.js';
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

/** For `sharedCache.claims`: of several processes that meet the same unknown token, one asks. */
export function redisClaims(client: RedisClient): Claims {
  requireMethods('redisClaims(client)', client, ['set', 'del']);
  return {
    take: async (name, ttl) => (await client.set(name, '1', { NX: true, PX: Math.ceil(ttl) })) !== null,
    release: (name) => client.del(name),
  };
}
