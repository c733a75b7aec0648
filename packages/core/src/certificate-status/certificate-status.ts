import type { PathCertificate } from '../chain/path-certificate.js';
import type { ReportProblem } from '../observe/events.js';
import type { ResolveHost } from './guarded-lookup.js';
import { ListSource } from './list-source.js';
import { OcspSource } from './ocsp-source.js';
import { withoutRepeats } from './repeated-reports.js';
import { createStatusFetcher } from './status-fetcher.js';
import type { CertificateStatusSettings } from './status-options.js';
import type { StatusSource } from './status-source.js';

/**
 * The status of a path. `validUntil` is in milliseconds since the epoch: a caller that keeps a
 * verdict asks again after it, or when `generation` has changed.
 */
export type PathStatus =
  | { readonly state: 'good'; readonly validUntil: number }
  | {
      readonly state: 'revoked';
      /** The index of the revoked certificate in the path. */
      readonly at: number;
      readonly why: string;
      readonly validUntil: number;
    }
  | {
      readonly state: 'unknown';
      /** The index of the certificate whose status can't be found out. */
      readonly at: number;
      readonly why: string;
      readonly validUntil: number;
    };

/** Finds out whether certificates are revoked. */
export interface CertificateStatus {
  /** Changes whenever the status of a certificate may have changed. */
  readonly generation: number;
  /**
   * Begins to find out what is needed for a path that was accepted. Returns what to wait for, or
   * `undefined` if everything is known already, or can't be found out now. The promise never
   * rejects, and takes no longer than `timeout` for each method of `by`. Call it before `statusOf()`
   * unless a verdict is kept.
   *
   * @param path from the client certificate to the trust anchor, each one followed by its issuer
   */
  prepare(path: readonly PathCertificate[]): Promise<void> | undefined;
  /**
   * What is known of a path now. The last certificate of the path, the trust anchor, is not looked
   * up. A revoked certificate wins over one whose status is unknown.
   *
   * @param now milliseconds since the epoch
   */
  statusOf(path: readonly PathCertificate[], now: number): PathStatus;
  /** Fetches nothing from now on. */
  close(): void;
}

/** Milliseconds after which an unknown status is looked at again. */
const UNKNOWN_LASTS = 1_000;

/**
 * Throws `ConfigurationError` for a file of `crlFiles` that can't be used. The certificates that are
 * looked up need `x509.load()`.
 *
 * @param clockTolerance returns the seconds that another clock may differ from this process's
 * @param resolveHost in place of `dns.lookup()`
 */
export function createCertificateStatus(
  settings: CertificateStatusSettings,
  clockTolerance: () => number,
  report: ReportProblem,
  resolveHost?: ResolveHost,
): CertificateStatus {
  let generation = 0;
  const fetcher = createStatusFetcher(settings, resolveHost);
  const parts = {
    settings,
    get clockTolerance() {
      return clockTolerance();
    },
    fetcher,
    onChange: () => {
      generation += 1;
    },
    report: withoutRepeats(report),
  };
  const sources = settings.by.map(
    (method): StatusSource => (method === 'crl' ? new ListSource(parts) : new OcspSource(parts)),
  );
  let isClosed = false;

  const loadFrom = (
    first: number,
    certificate: PathCertificate,
    issuer: PathCertificate,
  ): Promise<void> | undefined => {
    for (const [index, source] of sources.entries()) {
      if (index < first) {
        continue;
      }
      const isKnown = (): boolean => source.answer(certificate, issuer, Date.now()).state !== 'unknown';
      const waiting = source.load(certificate, issuer);
      if (waiting !== undefined) {
        return waiting.then(() => (isKnown() ? undefined : loadFrom(index + 1, certificate, issuer)));
      }
      if (isKnown()) {
        return undefined;
      }
    }
    return undefined;
  };

  return {
    get generation() {
      return generation;
    },
    prepare(path) {
      const waiting: Promise<void>[] = [];
      for (const [certificate, issuer] of isClosed ? [] : links(path)) {
        const wait = loadFrom(0, certificate, issuer);
        if (wait !== undefined) {
          waiting.push(wait);
        }
      }
      return waiting.length === 0 ? undefined : waitFor(waiting, settings.timeout * sources.length);
    },
    statusOf(path, now) {
      let validUntil = now + 1_000 * settings.refreshInterval;
      let unknown: PathStatus | undefined;
      for (const [at, [certificate, issuer]] of links(path).entries()) {
        const answers = sources.map((source) => source.answer(certificate, issuer, now));
        const revoked = answers.find(({ state }) => state === 'revoked');
        if (revoked?.state === 'revoked') {
          return { state: 'revoked', at, why: revoked.why, validUntil };
        }
        const good = answers.find(({ state }) => state === 'good');
        if (good?.state === 'good') {
          validUntil = Math.min(validUntil, good.until);
          continue;
        }
        const why = answers.flatMap((answer) => (answer.state === 'unknown' ? [answer.why] : [])).join('; ');
        unknown ??= { state: 'unknown', at, why, validUntil: now + UNKNOWN_LASTS };
      }
      return unknown ?? { state: 'good', validUntil };
    },
    close() {
      isClosed = true;
      for (const source of sources) {
        source.close();
      }
      fetcher.close();
    },
  };
}

/** Each certificate of a path with its issuer. */
function links(path: readonly PathCertificate[]): [PathCertificate, PathCertificate][] {
  return path.slice(1).map((issuer, index) => [path[index] ?? issuer, issuer]);
}

/** Waits for all, or until the time is over. Never rejects. */
function waitFor(waiting: readonly Promise<void>[], seconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1_000);
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    Promise.all(waiting).then(end, end);
  });
}
