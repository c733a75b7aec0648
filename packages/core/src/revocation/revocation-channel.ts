/**
 * Sends revocations between processes: `redisChannel(client)`, or what does the same over
 * anything else.
 */
export interface RevocationChannel {
  /**
   * Names this channel, equally in each process. A message of another channel under the same secret
   * that an attacker sends again on this one is then not believed. Default: it is believed.
   */
  readonly id?: string;
  /**
   * Resolves when the message is on its way to every process that listens, this one included or
   * not.
   */
  publish(message: string): Promise<unknown>;
  /**
   * Resolves when it listens, with the function that ends it. Rejects when it can't: it is tried
   * again. One that has not settled for 10 seconds is reported as `revocations_unsynced`, and still
   * waited for. `signal` aborts when `close()` runs: a subscription that is still on its way must
   * then end too.
   */
  subscribe(listener: RevocationChannelListener, signal?: AbortSignal): Promise<() => Promise<unknown>>;
}

/** What a channel calls. */
export interface RevocationChannelListener {
  /** A message arrived. */
  readonly message: (message: string) => void;
  /** Messages may be missed from now on. `error` says why, if it is known. */
  readonly interrupted: (error?: unknown) => void;
  /** It listens again. */
  readonly restored: () => void;
}
