import type { PathCertificate } from '../chain/path-certificate.js';
import type { ReportProblem } from '../observe/events.js';
import type { StatusFetcher } from './status-fetcher.js';
import type { CertificateStatusSettings } from './status-options.js';
import type { StatusReason } from './status-reason.js';

/** What one source knows about a certificate. `until` is in milliseconds since the epoch. */
export type StatusAnswer =
  | { readonly state: 'good'; readonly until: number }
  | { readonly state: 'revoked'; readonly why: string }
  | ({
      readonly state: 'unknown';
      /** A list in a file that may revoke it is still being read: the certificate is accepted in no mode. */
      readonly isPending?: true;
    } & StatusReason);

/**
 * What the lists of another certificate of an issuer count for: all that they say, or what they revoke and
 * nothing else, or nothing.
 */
export type SignerWeight = 'all' | 'revocations' | 'nothing';

/**
 * Finds out what the lists of other certificates of an issuer count for. That costs time: ask if there is a
 * list.
 */
export interface SignerWeights {
  weightOf(signer: PathCertificate): SignerWeight;
}

/** The authority whose quota of requests and of kept records pays for a question. */
export interface QuotaOwner {
  /** Begins with the name of its trust anchor, and with a space behind that unless it is the anchor. */
  readonly name: string;
  /** The name of the trust anchor above it, or its own if it is one, by `authorityKeyOf()`. */
  readonly anchor: string;
}

/** Where the status of a certificate is looked up. */
export interface StatusSource {
  /**
   * Begins what is needed to know the status. Returns what to wait for, or `undefined` if there is
   * nothing: the status is known, or can't be found out now. The promise never rejects.
   *
   * @param signers says what the lists of other certificates of the issuer count for
   */
  prepare(
    certificate: PathCertificate,
    issuer: PathCertificate,
    authority: QuotaOwner,
    signers: SignerWeights,
  ): Promise<void> | undefined;
  /**
   * Verifies and reads the lists of an issuer that files hold, unless this is done. Returns what to wait for.
   * The promise never rejects.
   */
  openListsInFiles?(issuer: PathCertificate): Promise<void> | undefined;
  /**
   * What is known now.
   *
   * @param now milliseconds since the epoch
   * @param signers says what the lists of other certificates of the issuer count for
   */
  answer(
    certificate: PathCertificate,
    issuer: PathCertificate,
    now: number,
    signers: SignerWeights,
  ): StatusAnswer;
  close(): void;
}

/** What the sources of statuses have in common. */
export interface SourceParts {
  readonly settings: CertificateStatusSettings;
  readonly fetcher: StatusFetcher;
  /** Seconds that another clock may differ from this process's. */
  readonly clockTolerance: number;
  /** Other certificates of an issuer, whose keys may have signed its lists. Not verified yet. */
  readonly othersOf: (issuer: PathCertificate) => readonly PathCertificate[];
  /** A status may have changed. */
  readonly onChange: () => void;
  readonly report: ReportProblem;
}
