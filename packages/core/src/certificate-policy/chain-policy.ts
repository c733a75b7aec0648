import { LRUCache } from 'lru-cache';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import type { CertificateStatus, PathStatus } from '../certificate-status/certificate-status.js';
import type { CertificateStatusSettings } from '../certificate-status/status-options.js';
import type { ChainOutcome, ChainVerification } from '../chain/chain-verification.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { RequestRefused } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';

/** How the status of the certificates of a path is found out, and what becomes of an unknown one. */
export interface StatusRule {
  readonly status: CertificateStatus;
  readonly settings: CertificateStatusSettings;
}

/** What the policy does with a certificate: to accept it, as the object to use, or to refuse it. */
export type ChainResult =
  | { readonly certificate: ClientCertificate }
  | { readonly refused: string; readonly isRevoked: boolean };

interface KeptStatus {
  readonly status: PathStatus;
  readonly generation: number;
}

/** Thumbprints of revoked certificates that are remembered, to end their tokens once. */
const MAX_REVOKED = 10_000;

/**
 * Decides whether the chain of a certificate leads to an authority, and whether one of the
 * certificates is revoked. What is known of a certificate is looked up: neither signatures nor lists
 * are read again.
 */
export class ChainPolicy {
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
    const outcome = this.#chain.outcomeOf(certificate, now);
    return 'why' in outcome || this.#keptFor(outcome.path, now) !== undefined
      ? undefined
      : this.#rule.status.prepare(outcome.path);
  }

  /**
   * Judges a certificate. Throws `RequestRefused` if `strict` needs a status that is unknown.
   *
   * @param now milliseconds since the epoch
   */
  judge(certificate: ClientCertificate, now: number): ChainResult {
    const outcome = this.#chain.outcomeOf(certificate, now);
    if ('why' in outcome) {
      return { refused: `its chain leads to none of the authorities: ${outcome.why}`, isRevoked: false };
    }
    const rule = this.#rule;
    return rule === undefined ? outcome : this.#judgeStatus(rule, outcome, now);
  }

  /** Whether this is the first time that it is noticed that a certificate is revoked. */
  isNewlyRevoked({ thumbprint }: ClientCertificate): boolean {
    const isKnown = this.#revoked.has(thumbprint);
    this.#revoked.set(thumbprint, true);
    return !isKnown;
  }

  /** How the status is found out; undefined if it is not. */
  get revocation(): CertificateStatusSettings | undefined {
    return this.#rule?.settings;
  }

  /** Fetches nothing from now on. */
  close(): void {
    this.#rule?.status.close();
  }

  #judgeStatus(
    { status, settings: { mode } }: StatusRule,
    { certificate, path }: Exclude<ChainOutcome, { readonly why: string }>,
    now: number,
  ): ChainResult {
    const found = this.#keptFor(path, now) ?? status.statusOf(path, now);
    this.#kept.set(path, { status: found, generation: status.generation });
    if (found.state === 'good') {
      return { certificate };
    }
    const which = found.at === 0 ? 'it' : `the certificate ${path[found.at]?.thumbprint} above it`;
    if (found.state === 'revoked') {
      return { refused: `${which} is revoked: ${found.why}`, isRevoked: true };
    }
    const detail = `nothing says whether ${which} is revoked: ${found.why}`;
    if (mode === 'strict') {
      throw new RequestRefused('certificate_status_unknown', { detail });
    }
    this.#report('certificate_status_missing', detail);
    return { certificate };
  }

  #keptFor(path: readonly PathCertificate[], now: number): PathStatus | undefined {
    const kept = this.#kept.get(path);
    const isCurrent =
      kept !== undefined &&
      kept.generation === this.#rule?.status.generation &&
      now <= kept.status.validUntil;
    return isCurrent ? kept.status : undefined;
  }
}
