import { TellableError } from '../errors.js';
import { issuerOf, type KnownNotice, nameOf } from './revocations.js';

/** Calls of `revoke()` that wait at most. More are rejected, and written later with what the log lacks. */
const MAX_CALLS = 10_000;

/** A call that waits until its revocation is written. */
export interface WaitingCall {
  /** Aborts when the call does not wait any more. */
  readonly givenUp: AbortSignal;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A revocation that waits until those before it are written, for one call or more. */
export interface WaitingRevocation {
  known: KnownNotice;
  readonly calls: WaitingCall[];
}

/** The revocations of one issuer that wait. */
interface IssuerQueue {
  readonly byName: Map<string, WaitingRevocation>;
  /** From the oldest to the newest. */
  readonly inOrder: WaitingRevocation[];
  calls: number;
}

/**
 * The revocations that wait to be written into the log. The issuers take turns, so that many
 * revocations of one issuer do not delay those of the others. A revocation of a name that waits
 * already becomes part of that one.
 */
export class WaitingRevocations {
  /** The issuer whose turn is next comes first. */
  readonly #queues = new Map<string, IssuerQueue>();
  readonly #onFull: (issuer: string) => void;
  #calls = 0;

  /**
   * @param onFull called when a revocation is rejected because too many wait: with its issuer, or with an
   *   empty text if it is for the tokens of all issuers
   */
  constructor(onFull: (issuer: string) => void) {
    this.#onFull = onFull;
  }

  /** If too many calls wait, rejects this one, or a call for the issuer of which the most wait. */
  add(known: KnownNotice, call: WaitingCall): void {
    const { revocation } = known.notice;
    const issuer = issuerOf(revocation);
    if (this.#calls >= MAX_CALLS && !this.#makeRoomFor(issuer)) {
      this.#onFull(issuer);
      call.reject(tooMany());
      return;
    }
    const queue = this.#queues.get(issuer) ?? newQueue();
    this.#queues.set(issuer, queue);
    const name = nameOf(revocation);
    const waiting = queue.byName.get(name);
    if (waiting === undefined) {
      const added = { known, calls: [call] };
      queue.byName.set(name, added);
      queue.inOrder.push(added);
    } else {
      // This process remembers the name under the id of its last revocation.
      waiting.known = known;
      waiting.calls.push(call);
    }
    queue.calls += 1;
    this.#calls += 1;
  }

  /** Takes the oldest revocation of the issuer whose turn it is. */
  take(): WaitingRevocation | undefined {
    const [[issuer, queue] = []] = this.#queues;
    const waiting = queue?.inOrder.shift();
    if (issuer === undefined || queue === undefined || waiting === undefined) {
      return undefined;
    }
    this.#queues.delete(issuer);
    if (queue.inOrder.length > 0) {
      this.#queues.set(issuer, queue);
    }
    this.#remove(queue, waiting);
    return waiting;
  }

  /** Takes this very revocation, if it waits. */
  takeSame({ notice: { revocation, id } }: KnownNotice): WaitingRevocation | undefined {
    const issuer = issuerOf(revocation);
    const queue = this.#queues.get(issuer);
    const waiting = queue?.byName.get(nameOf(revocation));
    if (queue === undefined || waiting?.known.notice.id !== id) {
      return undefined;
    }
    queue.inOrder.splice(queue.inOrder.indexOf(waiting), 1);
    if (queue.inOrder.length === 0) {
      this.#queues.delete(issuer);
    }
    this.#remove(queue, waiting);
    return waiting;
  }

  /**
   * Rejects the newest revocation of the issuer with the most calls. Returns whether there was one with
   * more than this one.
   */
  #makeRoomFor(issuer: string): boolean {
    const [[largest, queue] = []] = [...this.#queues].sort(([, one], [, other]) => other.calls - one.calls);
    const own = this.#queues.get(issuer)?.calls ?? 0;
    const newest = queue !== undefined && queue.calls > own + 1 ? queue.inOrder.pop() : undefined;
    if (largest === undefined || queue === undefined || newest === undefined) {
      return false;
    }
    if (queue.inOrder.length === 0) {
      this.#queues.delete(largest);
    }
    this.#remove(queue, newest);
    this.#onFull(largest);
    for (const { reject } of newest.calls) {
      reject(tooMany());
    }
    return true;
  }

  #remove(queue: IssuerQueue, { known, calls }: WaitingRevocation): void {
    queue.byName.delete(nameOf(known.notice.revocation));
    queue.calls -= calls.length;
    this.#calls -= calls.length;
  }
}

function newQueue(): IssuerQueue {
  return { byName: new Map(), inOrder: [], calls: 0 };
}

function tooMany(): TellableError {
  return new TellableError(`more than ${MAX_CALLS} revocations wait to be written`);
}
