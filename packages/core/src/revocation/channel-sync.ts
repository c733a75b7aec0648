import type { ReportProblem } from '../observe/events.js';
import { publishRevocation, registerSyncState, type SyncRegistration } from '../observe/revocation-sync.js';
import { createSeal, type Seal } from '../shared/sealing.js';
import { describeStoreError } from '../shared/store-error.js';
import { withTimeLimit } from '../shared/time-limit.js';
import { ChannelHeartbeat } from './channel-heartbeat.js';
import type { RevocationChannel } from './revocation-channel.js';
import type { RevocationNotice, Revocations } from './revocations.js';

export interface ChannelRules {
  readonly channel: RevocationChannel;
  /** The first secret seals, and each one opens what it sealed: so a new secret can replace an old one. */
  readonly secrets: readonly string[];
  /** Seconds after which silence counts as an interruption, if they are not too short for that. */
  readonly maxAgeWhileUnsynced: number;
}

/** A notice as it is sent. */
interface SentNotice extends RevocationNotice {
  /** The id of the channel; undefined if it has none, and from an earlier version. */
  readonly channel?: string;
}

/** What says no more than that its sender is there. */
const ALIVE = JSON.stringify({ alive: true });

/** Seconds. */
const SHORTEST_SILENCE = 3;

const NAME = 'revocation';

/** Milliseconds; a message older than that is played back, or its sender's clock is wrong. */
const MAX_AGE = 300_000;

/** Seconds. */
const PUBLISH_TIMEOUT = 2;
const RETRY_INTERVAL = 1;
/**
 * After which a subscription that has not settled is reported. It is still waited for: a client may
 * wait for its server.
 */
const SUBSCRIBE_PATIENCE = 10;

/** What is revoked anywhere is revoked here, and the other way round. */
export class ChannelSync {
  readonly #channel: RevocationChannel;
  readonly #seals: readonly [Seal, ...Seal[]];
  readonly #revocations: Revocations;
  readonly #report: ReportProblem;
  /** An interruption is reported once, however often the channel is tried meanwhile. */
  #isInterruptionReported = false;
  #retry: NodeJS.Timeout | undefined;
  #lateTimer: NodeJS.Timeout | undefined;
  #end: () => Promise<unknown> = async () => undefined;
  #heartbeat: ChannelHeartbeat | undefined;
  readonly #silence: number;
  readonly #closing = new AbortController();
  readonly #registration: SyncRegistration;
  /** Since when the channel is not listened to, by the monotonic clock; undefined while it is. */
  #unsyncedSince: number | undefined = performance.now();
  /** When the last message came, by the monotonic clock. */
  #receivedAt: number | undefined;

  constructor(
    { channel, secrets, maxAgeWhileUnsynced }: ChannelRules,
    revocations: Revocations,
    report: ReportProblem,
  ) {
    const [first = '', ...others] = secrets;
    this.#channel = channel;
    this.#seals = [createSeal(first, NAME), ...others.map((secret) => createSeal(secret, NAME))];
    this.#revocations = revocations;
    this.#report = report;
    this.#silence = Math.max(maxAgeWhileUnsynced, SHORTEST_SILENCE) * 1000;
    this.#registration = registerSyncState(() => ({
      from: 'channel',
      state: this.#unsyncedSince === undefined ? 'synced' : 'unsynced',
      position: undefined,
      lag: this.#unsyncedSince === undefined ? 0 : secondsSince(this.#unsyncedSince),
      heartbeatAge: this.#receivedAt === undefined ? undefined : secondsSince(this.#receivedAt),
    }));
    revocations.markUnsynced();
    void this.#subscribe();
  }

  /** Sends a revocation to the other processes. Rejects if it may not have been sent. */
  async publish(notice: RevocationNotice): Promise<void> {
    const message = this.#seals[0].seal(NAME, JSON.stringify({ ...notice, channel: this.#channel.id }));
    await withTimeLimit(PUBLISH_TIMEOUT, () => this.#channel.publish(message));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#registration.end();
    clearTimeout(this.#retry);
    clearTimeout(this.#lateTimer);
    this.#heartbeat?.stop();
    // Revocations are not received from now on.
    this.#revocations.markUnsynced();
    await withTimeLimit(PUBLISH_TIMEOUT, () => this.#end()).catch(() => undefined);
  }

  async #subscribe(): Promise<void> {
    const late = (): void =>
      this.#markUnsynced(
        `the channel of revocations is not joined: subscribe() has not settled for ${SUBSCRIBE_PATIENCE} s`,
      );
    this.#lateTimer = setTimeout(late, SUBSCRIBE_PATIENCE * 1000).unref();
    try {
      const end = await this.#channel.subscribe(
        {
          message: (message) => this.#receive(message),
          interrupted: (error) =>
            this.#markUnsynced(
              'the connection to the channel of revocations is interrupted' +
                (error === undefined ? '' : `: ${describeStoreError(error)}`),
            ),
          restored: () => this.#restore(),
        },
        this.#closing.signal,
      );
      clearTimeout(this.#lateTimer);
      if (this.#isClosed()) {
        await end();
        return;
      }
      this.#end = end;
      this.#heartbeat = new ChannelHeartbeat({
        silence: this.#silence,
        send: async () => this.#channel.publish(this.#seals[0].seal(NAME, ALIVE)),
        onSilence: () => void this.#joinAgain(),
      });
      this.#restore();
    } catch (error) {
      clearTimeout(this.#lateTimer);
      this.#markUnsynced(`the channel of revocations can not be joined: ${describeStoreError(error)}`);
      this.#retryLater();
    }
  }

  #retryLater(): void {
    if (!this.#isClosed()) {
      this.#retry = setTimeout(() => void this.#subscribe(), RETRY_INTERVAL * 1000).unref();
    }
  }

  /** The connection is dead though it does not say so. */
  async #joinAgain(): Promise<void> {
    this.#markUnsynced('the channel of revocations is silent');
    await withTimeLimit(PUBLISH_TIMEOUT, () => this.#end()).catch(() => undefined);
    this.#retryLater();
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  #markUnsynced(why: string): void {
    this.#unsyncedSince ??= performance.now();
    this.#revocations.markUnsynced();
    this.#registration.show();
    if (!this.#isClosed() && !this.#isInterruptionReported) {
      this.#isInterruptionReported = true;
      this.#report(
        'revocations_unsynced',
        `${why}; until it is back, answers serve for revocations.maxAgeWhileUnsynced`,
      );
    }
  }

  /**
   * What was revoked while the channel was not listened to is unknown, also before this process
   * joined for the first time.
   */
  #restore(): void {
    this.#isBack();
    this.#revocations.markRestored();
  }

  #isBack(): void {
    this.#unsyncedSince = undefined;
    this.#registration.show();
    if (this.#isInterruptionReported) {
      this.#isInterruptionReported = false;
      this.#report('revocations_synced', 'the channel of revocations is back');
    }
  }

  #receive(message: string): void {
    for (const seal of this.#seals) {
      const text = seal.open(NAME, message);
      if (text !== undefined) {
        this.#heartbeat?.noteMessage();
        this.#receivedAt = performance.now();
        if (text !== ALIVE) {
          this.#receiveNotice(JSON.parse(text) as SentNotice);
        }
        return;
      }
    }
    this.#report(
      'revocation_not_ours',
      'a message on the channel of revocations was not sealed with revocations.secret; ignored',
    );
  }

  #receiveNotice({ channel, ...notice }: SentNotice): void {
    const now = Date.now();
    const { id } = this.#channel;
    // An earlier version names no channel.
    if (channel !== undefined && id !== undefined && channel !== id) {
      const detail = 'was sent on another channel, and played back on this one; ignored';
      this.#report('revocation_not_ours', `a message on the channel of revocations ${detail}`);
      return;
    }
    if (Math.abs(now - notice.at) > MAX_AGE) {
      const detail =
        'was played back, or the clock of its sender is wrong by more than five minutes; ignored';
      this.#report('revocation_not_ours', `a message on the channel of revocations ${detail}`);
      return;
    }
    // It may come from a process whose clock is behind.
    if (this.#revocations.add({ ...notice, at: Math.max(notice.at, now) })) {
      publishRevocation(notice.revocation, 'channel');
    }
  }
}

function secondsSince(moment: number): number {
  return (performance.now() - moment) / 1000;
}
