import { LRUCache } from 'lru-cache';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import type { PathStatus, StatusChecker } from '../certificate-status/status-checker.js';
import type { CertificateStatusSettings } from '../certificate-status/status-options.js';
import type { ChainReasonCode } from '../chain/chain-reason.js';
import type { ChainToAuthority, ChainVerification } from '../chain/chain-verification.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { createRefusal, type Reason } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';

/** How the status of the certificates of a path is found out, and what becomes of an unknown one. */
export interface StatusRule {
  readonly statusChecker: StatusChecker;
  readonly settings: CertificateStatusSettings;
}

/** What the policy does with a certificate: to accept it, as the object to use, or to refuse it. */
export type ChainResult =
  | { readonly certificate: ClientCertificate }
  | { readonly refused: Reason<RefusedChainCode> };

/** Why a policy refuses the chain of a certificate. */
export type RefusedChainCode = ChainReasonCode | 'revoked' | 'authority_revoked';

type NotGood = Exclude<PathStatus, { readonly state: 'good' }>;

/** A path whose status is not good. */
interface PathNotGood {
  readonly chain: ChainToAuthority;
  readonly found: NotGood;
}

interface KeptStatus {
  readonly status: PathStatus;
  readonly generation: number;
  /** When it was found out, in milliseconds since the epoch. */
  readonly from: number;
  /** When it ends, in milliseconds of the monotonic clock: the wall clock can be set back. */
  readonly ends: number;
}

/**
 * Other paths that are looked for if a certificate above the client's is revoked, or nothing says
 * whether it is. Each search does as much work as the first one at most.
 */
const MAX_OTHER_PATHS = 3;

/** Thumbprints of revoked certificates that are remembered, to end their tokens once. */
const MAX_REVOKED = 10_000;

/**
 * Decides whether the chain of a certificate leads to an authority, and whether one of the
 * certificates is revoked. Signatures and lists are read once: after that, what is known of a
 * certificate is looked up.
 */
export class ChainCheck {
  readonly #chain: ChainVerification;
  readonly #rule: StatusRule | undefined;
  readonly #report: ReportProblem;
  readonly #kept = new WeakMap<readonly PathCertificate[], KeptStatus>();
  readonly #revoked = new LRUCache<string, true>({ max: MAX_REVOKED });

  constructor(chain: ChainVerification, rule: StatusRule | undefined, report: ReportProblem) {
    this.#chain = chain;
    this.#rule = rule;
    this.#report = report;
  }

  /** Returns what to wait for before `prepareStatus()` and `judge()`. Rejects with `RequestRefused`. */
  prepareAuthorities(now: number): Promise<unknown> | undefined {
    return this.#chain.prepare(now);
  }

  /**
   * Returns what to wait for before `judge()`, after what `prepareAuthorities()` returned. Needs
   * `x509.load()`. Never rejects.
   */
  prepareStatus(certificate: ClientCertificate, now: number): Promise<void> | undefined {
    if (this.#rule === undefined) {
      return undefined;
    }
    const outcome = this.#chain.verify(certificate, now);
    const isDone = 'why' in outcome || this.#keptFor(outcome.path, now)?.state === 'good';
    return isDone ? undefined : this.#prepare(this.#rule, certificate, outcome, new Set(), now);
  }

  /**
   * Judges a certificate. Throws `RequestRefused` if `strict` needs a status that is unknown, and in both
   * modes while a list in a file that may revoke it is still being read.
   *
   * @param now milliseconds since the epoch
   */
  judge(certificate: ClientCertificate, now: number): ChainResult {
    const outcome = this.#chain.verify(certificate, now);
    if ('why' in outcome) {
      const { code, why } = outcome;
      return { refused: { code, why: `its chain leads to none of the authorities: ${why}` } };
    }
    const rule = this.#rule;
    return rule === undefined ? outcome : this.#judgeStatus(rule, certificate, outcome, now);
  }

  /** Notes that a certificate is revoked. Returns whether that is new. */
  noteRevoked({ thumbprint }: ClientCertificate): boolean {
    const isKnown = this.#revoked.has(thumbprint);
    this.#revoked.set(thumbprint, true);
    return !isKnown;
  }

  /** Forgets that a certificate was revoked: it is not refused as revoked, for example after a hold. */
  noteNotRevoked({ thumbprint }: ClientCertificate): void {
    if (this.#revoked.size > 0) {
      this.#revoked.delete(thumbprint);
    }
  }

  /** How the status is found out; undefined if it is not. */
  get revocationCheck(): CertificateStatusSettings | undefined {
    return this.#rule?.settings;
  }

  /** Fetches nothing from now on. */
  close(): void {
    this.#rule?.statusChecker.close();
  }

  /** Prepares the status of a path, and then of the other ones that `judge()` will need. */
  #prepare(
    rule: StatusRule,
    certificate: ClientCertificate,
    { path }: ChainToAuthority,
    avoided: Set<string>,
    now: number,
  ): Promise<void> | undefined {
    const further = (time: number): Promise<void> | undefined => {
      const other = this.#otherPath(certificate, path, this.#statusOf(rule, path, time), avoided, time);
      return other && this.#prepare(rule, certificate, other, avoided, time);
    };
    const waiting = this.#keptFor(path, now) === undefined ? rule.statusChecker.prepare(path) : undefined;
    return waiting === undefined ? further(now) : waiting.then(() => further(Date.now()));
  }

  #judgeStatus(
    rule: StatusRule,
    certificate: ClientCertificate,
    first: ChainToAuthority,
    now: number,
  ): ChainResult {
    const avoided = new Set<string>();
    let kept: PathNotGood | undefined;
    for (let chain: ChainToAuthority | undefined = first; chain !== undefined; ) {
      const { path } = chain;
      const found = this.#statusOf(rule, path, now);
      if (found.state === 'good') {
        return chain === first ? chain : this.#chain.keep(certificate, chain);
      }
      const isOwn = found.state === 'revoked' && found.at === 0;
      // The first path is kept. Another one replaces it if the client's own certificate is revoked, or if
      // the kept path has a revoked authority and the status of the other one is only unknown.
      if (kept === undefined || isOwn || (kept.found.state === 'revoked' && found.state === 'unknown')) {
        kept = { found, chain };
      }
      chain = this.#otherPath(certificate, path, found, avoided, now);
    }
    return kept === undefined
      ? { refused: { code: 'no_path', why: 'it has no path' } }
      : this.#resultOf(rule, this.#chain.withSentCertificates(certificate, kept.chain), kept.found);
  }

  /** What becomes of a certificate without a path that is good. */
  #resultOf(
    { settings: { mode } }: StatusRule,
    { certificate, path }: ChainToAuthority,
    found: NotGood,
  ): ChainResult {
    const which = found.at === 0 ? 'it' : `the certificate ${path[found.at]?.thumbprint} above it`;
    if (found.state === 'revoked') {
      const code = found.at === 0 ? 'revoked' : 'authority_revoked';
      return { refused: { code, why: `${which} is revoked: ${found.why}` } };
    }
    const detail = `nothing says whether ${which} is revoked: ${found.why}`;
    if (mode === 'strict' || found.isPending) {
      throw createRefusal('certificate_status_unknown', found, detail);
    }
    this.#report('certificate_status_missing', detail);
    return { certificate };
  }

  /**
   * Returns another path, after it has added one certificate of `path` to those that a path must avoid:
   *
   * - the authority whose status is not good
   * - if the status of the client's own certificate is unknown, the certificate of its issuer. That issuer
   *   may have another certificate, and a path by that one a list that proves the status
   *
   * Returns `undefined` if there is no other path, if the client's own certificate is revoked, and if
   * `MAX_OTHER_PATHS` certificates are avoided already.
   */
  #otherPath(
    certificate: ClientCertificate,
    path: readonly PathCertificate[],
    found: PathStatus,
    avoided: Set<string>,
    now: number,
  ): ChainToAuthority | undefined {
    const above = found.state === 'good' ? undefined : path[placeToAvoid(found)];
    if (above === undefined || avoided.size >= MAX_OTHER_PATHS) {
      return undefined;
    }
    avoided.add(above.thumbprint);
    const other = this.#chain.outcomeWithout(certificate, avoided, now);
    return 'why' in other ? undefined : other;
  }

  #statusOf({ statusChecker }: StatusRule, path: readonly PathCertificate[], now: number): PathStatus {
    const kept = this.#keptFor(path, now);
    if (kept !== undefined) {
      return kept;
    }
    const status = statusChecker.statusOf(path, now);
    const ends = performance.now() + status.validUntil - now;
    this.#kept.set(path, { status, generation: statusChecker.generation, from: now, ends });
    return status;
  }

  #keptFor(path: readonly PathCertificate[], now: number): PathStatus | undefined {
    const kept = this.#kept.get(path);
    const isCurrent =
      kept !== undefined &&
      kept.generation === this.#rule?.statusChecker.generation &&
      kept.from <= now &&
      now <= kept.status.validUntil &&
      performance.now() <= kept.ends;
    return isCurrent ? kept.status : undefined;
  }
}

/**
 * Returns the place in a path of the certificate that another path must do without; -1 if the client's own
 * certificate is revoked.
 */
function placeToAvoid({ state, at }: NotGood): number {
  if (at > 0) {
    return at;
  }
  return state === 'unknown' ? 1 : -1;
}
