import type { TokenOfRequest } from '../authorization.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { RequestRefused } from '../errors.js';
import type { Revocations, RevokedCode } from '../revocation/revocations.js';
import type { TokenClaims } from '../token/token-claims.js';
import { revocationHashOf } from '../token/token-hash.js';
import type { NodeRequest } from './node-request.js';
import { endWithRequest } from './request-end.js';
import { noticeRequests } from './request-start.js';

/**
 * Milliseconds that a timer runs at most. Timers run by the monotonic clock, and tokens expire by
 * the wall clock, which may be set forward. Node's own limit is 2^31 - 1.
 */
const MAX_TIMER = 60_000;

/** Looks again whether the certificates of open requests are revoked. */
export interface CertificateRecheck {
  /** Seconds between two looks. */
  readonly interval: number;
  /** Revokes the tokens of a certificate that is revoked by now. Never throws and never rejects. */
  readonly check: (certificate: ClientCertificate) => void;
}

/**
 * Makes the `AbortSignal` of an accepted request when it is asked for. It fires when the token expires or
 * is revoked while the request is served, and not when the request ends.
 */
export class AuthorizationAbortSignals {
  readonly #revocations: Revocations;
  /** Milliseconds. */
  readonly #clockToleranceMs: number;
  readonly #recheck: CertificateRecheck | undefined;
  readonly #ofRequests = new WeakMap<NodeRequest, OpenRequest>();
  readonly #open = new Set<OpenRequest>();
  readonly #ignoreRequests = noticeRequests();
  #isClosed = false;

  /**
   * @param clockTolerance seconds by which the clocks of the authorization server and of this
   * process may differ
   * @param recheck how the certificates of open requests are looked at again. Default: they are not
   */
  constructor(revocations: Revocations, clockTolerance: number, recheck?: CertificateRecheck) {
    this.#revocations = revocations;
    this.#recheck = recheck;
    this.#clockToleranceMs = clockTolerance * 1000;
  }

  /**
   * Returns the signal of a request, which is one and the same on each call. That of a request
   * which has ended is aborted if the token is expired or revoked by now, and else stays silent.
   *
   * @param turn the turn (see `DatedClaims`) at which it was decided that the claims may be used: all
   * revocations from before were taken into account
   * @param certificate that of the request
   */
  of(
    presented: TokenOfRequest,
    tokenClaims: TokenClaims,
    turn: number,
    certificate?: ClientCertificate,
  ): AbortSignal {
    const { req } = presented;
    const existing = this.#ofRequests.get(req);
    if (existing !== undefined) {
      // A request may be authorized twice, by answers that differ.
      if (!existing.follows(tokenClaims)) {
        this.#watch(existing, presented, tokenClaims, turn);
      }
      return existing.signal;
    }
    const request = new OpenRequest(() => this.#open.delete(request));
    this.#ofRequests.set(req, request);
    this.#open.add(request);
    request.endWith(req);
    this.#watch(request, presented, tokenClaims, turn);
    const recheck = this.#recheck;
    if (recheck !== undefined && certificate !== undefined) {
      request.repeat(recheck.interval, () => recheck.check(certificate));
    }
    return request.signal;
  }

  /**
   * Notes claims that the authorization server gave later for the token of a request. They count too, if the
   * request has a signal.
   */
  follow(presented: TokenOfRequest, tokenClaims: TokenClaims, turn: number): void {
    const request = this.#ofRequests.get(presented.req);
    if (request !== undefined) {
      this.#watch(request, presented, tokenClaims, turn);
    }
  }

  /**
   * Returns why the token must not be accepted any more: a revocation that concerns it was received after the
   * turn `sinceTurn`, or one may have been missed since then. A revocation of this very token counts at any
   * turn. Returns `undefined` if none of this is so.
   */
  findRevokedSince(
    presented: TokenOfRequest,
    tokenClaims: TokenClaims,
    sinceTurn: number,
  ): RevokedCode | undefined {
    return this.#revocations.findRevokedSince(watchedOf(presented, tokenClaims), sinceTurn);
  }

  /**
   * Returns why the token must not be accepted any more: a revocation that concerns it was received after the
   * turn `sinceTurn`, or may have been received since then and forgotten. A revocation of this very token
   * counts at any turn. Returns `undefined` if none of this is so. Revocations that were never received do
   * not count.
   */
  findReceivedSince(
    presented: TokenOfRequest,
    tokenClaims: TokenClaims,
    sinceTurn: number,
  ): RevokedCode | undefined {
    return this.#revocations.findReceivedSince(watchedOf(presented, tokenClaims), sinceTurn);
  }

  /**
   * Removes all timers and watchers. From now on a signal fires only for a token that has expired or was
   * revoked already.
   */
  close(): void {
    this.#isClosed = true;
    this.#ignoreRequests();
    for (const request of [...this.#open]) {
      request.end();
    }
  }

  #watch(request: OpenRequest, presented: TokenOfRequest, tokenClaims: TokenClaims, turn: number): void {
    request.noteFollowed(tokenClaims);
    const watched = watchedOf(presented, tokenClaims);
    // An earlier watcher is called for all later revocations. A stream whose token is checked again and
    // again must not add a watcher each time.
    if (request.addKeys(this.#revocations.keysOf(watched))) {
      request.releaseAtEnd(
        this.#revocations.watch(watched, turn, (code) => request.abort(new RequestRefused(code))),
      );
    }
    if (tokenClaims.expiresAt !== undefined) {
      request.expireAt(tokenClaims.expiresAt * 1000 + this.#clockToleranceMs);
    }
    if (this.#isClosed) {
      request.end();
    }
  }
}

/** What revocations are compared with. */
function watchedOf(
  { token, hash }: TokenOfRequest,
  tokenClaims: TokenClaims,
): Parameters<Revocations['watch']>[0] {
  return { tokenClaims, hash, revocationHash: revocationHashOf(token, hash) };
}

/** A request that has a signal, until it ends. */
class OpenRequest {
  readonly #controller = new AbortController();
  readonly #onEnd: () => void;
  readonly #ends: (() => void)[] = [];
  /** The names of the revocations that are watched for. */
  readonly #keys = new Set<string>();
  /** Whose expiry and revocations end the signal. */
  readonly #followed = new WeakSet<TokenClaims>();
  #isEnded = false;
  #expiresAt = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  endWith(req: NodeRequest): void {
    this.releaseAtEnd(endWithRequest(req, () => this.end()));
  }

  noteFollowed(tokenClaims: TokenClaims): void {
    this.#followed.add(tokenClaims);
  }

  /** Returns whether the signal follows these claims already, or need not, as the request has ended. */
  follows(tokenClaims: TokenClaims): boolean {
    return this.#isEnded || this.#followed.has(tokenClaims);
  }

  /** Returns whether one of these names was not watched for. */
  addKeys(keys: ReadonlySet<string>): boolean {
    const before = this.#keys.size;
    for (const key of keys) {
      this.#keys.add(key);
    }
    return this.#keys.size > before;
  }

  /** Calls `release` when the request ends, or now if it has ended. */
  releaseAtEnd(release: () => void): void {
    if (this.#isEnded) {
      release();
    } else {
      this.#ends.push(release);
    }
  }

  /** Milliseconds since the epoch. Of several moments the earliest counts. */
  expireAt(moment: number): void {
    this.#expiresAt = Math.min(moment, this.#expiresAt);
    this.#expireInTime();
  }

  /**
   * Calls `act` again and again until the request ends, with this many seconds between two calls, or up to a
   * quarter less by chance: streams that begin at once do not have their calls at once.
   */
  repeat(seconds: number, act: () => void): void {
    if (this.#isEnded) {
      return;
    }
    let timer: NodeJS.Timeout;
    const schedule = (): void => {
      timer = setTimeout(
        () => {
          schedule();
          act();
        },
        seconds * 1_000 * (1 - Math.random() / 4),
      ).unref();
    };
    schedule();
    this.releaseAtEnd(() => clearTimeout(timer));
  }

  abort(reason: RequestRefused): void {
    this.end();
    this.#controller.abort(reason);
  }

  /** From now on the signal stays as it is. */
  end(): void {
    if (!this.#isEnded) {
      this.#isEnded = true;
      clearTimeout(this.#timer);
      for (const release of this.#ends.splice(0)) {
        release();
      }
      this.#onEnd();
    }
  }

  #expireInTime(): void {
    clearTimeout(this.#timer);
    const left = this.#expiresAt - Date.now();
    if (!(left > 0)) {
      this.abort(new RequestRefused('token_expired'));
    } else if (!this.#isEnded) {
      this.#timer = setTimeout(() => this.#expireInTime(), Math.min(left, MAX_TIMER)).unref();
    }
  }
}
