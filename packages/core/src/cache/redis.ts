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
  return {
    publish: (message) => client.publish(name, message),
    async subscribe({ message, lost, restored }: ChannelListener) {
      const subscriber = client.duplicate();
      let isListening = false;
      subscriber.on('error', lost);
      subscriber.on('reconnecting', lost);
      subscriber.on('end', lost);
      // The client subscribes anew by itself before it says that it is ready; the first time is told by our return.
      subscriber.on('ready', () => isListening && restored());
      await subscriber.connect();
      await subscriber.subscribe(name, message);
      isListening = true;
      return async () => (subscriber.destroy ?? subscriber.disconnect)?.call(subscriber);
    },
  };
}

/** For `sharedCache.claims`: of several processes that meet the same unknown token, one asks. */
export function redisClaims(client: RedisClient): Claims {
  return {
    take: async (name, ttl) => (await client.set(name, '1', { NX: true, PX: Math.ceil(ttl) })) !== null,
    release: (name) => client.del(name),
  };
}
