import { LRUCache } from 'lru-cache';
import type { CrlSigners } from '../chain/crl-signers.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import type { ReportProblem } from '../observe/events.js';
import { chargedAuthorityOf } from './authority-name.js';
import { CrlSource } from './crl-source.js';
import type { ResolveHost } from './host-lookup.js';
import { OcspSource } from './ocsp-source.js';
import { skipRepeatedReports } from './repeated-reports.js';
import { createStatusFetcher } from './status-fetcher.js';
import type { CertificateStatusSettings } from './status-options.js';
import { joinFaults, type StatusReason } from './status-reason.js';
import type { AcceptedSigners, ChargedAuthority, StatusAnswer, StatusSource } from './status-source.js';

/**
 * The status of a path. `validUntil` is in milliseconds since the epoch: a caller that keeps the
 * status asks again after it, or when `generation` has changed.
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
  | (StatusReason & {
      readonly state: 'unknown';
      /** The index of the certificate whose status can't be found out. */
      readonly at: number;
      /** A list in a file that may revoke it is still being read: the path is accepted in no mode. */
      readonly isPending?: true;
      readonly validUntil: number;
    });

/** Finds out whether certificates are revoked. */
export interface StatusChecker {
  /** Changes whenever the status of a certificate may have changed. */
  readonly generation: number;
  /**
   * Begins to find out what is needed for a path that was accepted. Returns what to wait for, or
   * `undefined` if everything is known already, or can't be found out now. The promise never
   * rejects, and takes no longer than `timeout` for each method of `by`. Call it before `statusOf()`
   * unless a status is kept.
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

/** Milliseconds for which what is found out about the signers below an anchor is kept. */
const SIGNERS_LAST = 1_000;

/** What else the status of certificates depends on. */
export interface StatusContext {
  /** Which other certificates of an authority may sign its lists. Default: none. */
  readonly crlSigners?: Pick<CrlSigners, 'othersOf' | 'pathOf' | 'generation'>;
  /** Looks the host names of lists and responders up. */
  readonly resolveHost?: ResolveHost | undefined;
}

/**
 * Throws `ConfigurationError` for a file of `crlFiles` that can't be used. The certificates that are
 * looked up need `x509.load()`.
 *
 * @param clockTolerance returns the seconds that another clock may differ from this process's
 */
export function createStatusChecker(
  settings: CertificateStatusSettings,
  clockTolerance: () => number,
  report: ReportProblem,
  { crlSigners = noSigners, resolveHost }: StatusContext = {},
): StatusChecker {
  let generation = 0;
  const fetcher = createStatusFetcher(settings, resolveHost);
  const parts = {
    settings,
    get clockTolerance() {
      return clockTolerance();
    },
    fetcher,
    othersOf: (issuer: PathCertificate) => crlSigners.othersOf(issuer),
    onChange: () => {
      generation += 1;
    },
    report: skipRepeatedReports(report),
  };
  const sources = settings.by.map(
    (method): StatusSource => (method === 'crl' ? new CrlSource(parts) : new OcspSource(parts)),
  );
  let isClosed = false;
  const keptSigners = new LRUCache<string, KeptSigners>({ max: MAX_ANCHORS });

  const answersOf = ([certificate, issuer]: Link, now: number, signers: SignerCheck) =>
    sources.map((source) => source.answer(certificate, issuer, now, signers));

  /** Whether every certificate of a signer's path is good, and until when. */
  const goodUntil = (path: readonly PathCertificate[], depends: Dependency): number | undefined => {
    const signers = new SignerCheck((signer) => untilOf(signer, depends));
    let until = Number.POSITIVE_INFINITY;
    for (const link of links(path)) {
      const answers = answersOf(link, depends.now, signers);
      const good = answers.find(({ state }) => state === 'good');
      if (good?.state !== 'good' || answers.some((one) => one.state === 'revoked' || isPending(one))) {
        return undefined;
      }
      until = Math.min(until, good.until);
    }
    return Math.min(until, signers.until);
  };

  /**
   * Until when the lists of another certificate of an issuer count: its path leads to the same trust anchor,
   * and no certificate of this path is revoked. A list proves nothing about the certificate whose key signed
   * the list.
   */
  const untilOf = (certificate: PathCertificate, depends: Dependency): number | undefined => {
    const { anchor, now, of, deepest } = depends;
    const { thumbprint } = certificate;
    if (of.length >= MAX_SIGNER_DEPTH || of.includes(thumbprint)) {
      return undefined;
    }
    const known = of.length === MAX_SIGNER_DEPTH - 1 ? deepest.get(thumbprint) : undefined;
    if (known !== undefined) {
      return known.until;
    }
    const found = crlSigners.pathOf(certificate, anchor, now);
    const good = found && goodUntil(found.path, { ...depends, of: [...of, thumbprint] });
    const until = found === undefined || good === undefined ? undefined : Math.min(good, found.validUntil);
    if (of.length === MAX_SIGNER_DEPTH - 1) {
      deepest.set(thumbprint, { until });
    }
    return until;
  };

  /** What is found out about the signers below an anchor is kept for `SIGNERS_LAST`. */
  const checkSigners = (anchor: PathCertificate, now: number): SignerCheck => {
    const kept = keptSigners.get(anchor.thumbprint);
    const isCurrent =
      kept !== undefined &&
      kept.generation === generation &&
      kept.configuredGeneration === crlSigners.generation &&
      kept.at <= now &&
      now <= kept.at + SIGNERS_LAST;
    const { depends, known } = isCurrent ? kept : keepSigners(anchor, now);
    return new SignerCheck((signer) => untilOf(signer, depends), known);
  };
  const keepSigners = (anchor: PathCertificate, now: number): KeptSigners => {
    const depends = { anchor, now, of: [], deepest: new Map() };
    const kept = {
      depends,
      known: new Map(),
      generation,
      at: now,
      configuredGeneration: crlSigners.generation,
    };
    keptSigners.set(anchor.thumbprint, kept);
    return kept;
  };

  const loadFrom = (
    first: number,
    link: Link,
    anchor: PathCertificate,
    authority: ChargedAuthority,
  ): Promise<void> | undefined => {
    const [certificate, issuer] = link;
    const signersNow = () => checkSigners(anchor, Date.now());
    for (const [index, source] of sources.entries()) {
      if (index < first) {
        continue;
      }
      // The others are asked again if one of them says that it is revoked: that may be over.
      const isKnown = (): boolean => {
        const [first, ...further] = sources
          .slice(index)
          .map((one) => one.answer(certificate, issuer, Date.now(), signersNow()).state);
        return first === 'revoked' || (first === 'good' && !further.includes('revoked'));
      };
      const waiting = source.prepare(certificate, issuer, authority, signersNow());
      if (waiting !== undefined) {
        return waiting.then(() => (isKnown() ? undefined : loadFrom(index + 1, link, anchor, authority)));
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
      if (isClosed) {
        return undefined;
      }
      const anchor = path.at(-1);
      const needed = anchor === undefined ? [] : withSigners(path, anchor, crlSigners);
      // A list of a file counts as soon as it is there, also where a responder is asked first.
      const openFiles = (): Promise<void>[] =>
        needed
          .flatMap(([, issuer]) => sources.map((source) => source.openFiles?.(issuer)))
          .filter((wait) => wait !== undefined);
      const waiting = needed
        .map((link) => anchor && loadFrom(0, link, anchor, chargedAuthorityOf(path)))
        .filter((wait) => wait !== undefined)
        .concat(openFiles());
      if (waiting.length === 0) {
        return undefined;
      }
      // Other clients may have displaced an issuer while the list of another one was fetched.
      const ready = Promise.all(waiting).then(() => Promise.all(openFiles()));
      return waitFor(ready, settings.timeout * sources.length);
    },
    statusOf(path, now) {
      let validUntil = now + 1_000 * settings.refreshInterval;
      let unknown: PathStatus | undefined;
      const anchor = path.at(-1);
      if (anchor === undefined) {
        return { state: 'unknown', at: 0, code: 'unreadable', why: 'it has no path', validUntil };
      }
      const signers = checkSigners(anchor, now);
      for (const [at, link] of links(path).entries()) {
        const answers = answersOf(link, now, signers);
        const revoked = answers.find(({ state }) => state === 'revoked');
        validUntil = Math.min(validUntil, signers.until);
        if (revoked?.state === 'revoked') {
          return { state: 'revoked', at, why: revoked.why, validUntil };
        }
        const pending = answers.some(isPending) ? ({ isPending: true } as const) : undefined;
        const good = pending === undefined ? answers.find(({ state }) => state === 'good') : undefined;
        if (good?.state === 'good') {
          validUntil = Math.min(validUntil, good.until);
          continue;
        }
        const faults = answers.filter((answer) => answer.state === 'unknown');
        if (unknown === undefined || pending !== undefined) {
          const until = now + UNKNOWN_LASTS;
          unknown = { state: 'unknown', at, ...joinFaults(faults), ...pending, validUntil: until };
        }
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

const noSigners: Pick<CrlSigners, 'othersOf' | 'pathOf' | 'generation'> = {
  othersOf: () => [],
  pathOf: () => undefined,
  generation: 0,
};

/** Asks which signers count, each once, and remembers until when those do that were asked about. */
class SignerCheck implements AcceptedSigners {
  readonly #untilOf: (signer: PathCertificate) => number | undefined;
  readonly #known: Map<string, number | undefined>;
  /** In milliseconds since the epoch. */
  until = Number.POSITIVE_INFINITY;

  constructor(
    untilOf: (signer: PathCertificate) => number | undefined,
    known = new Map<string, number | undefined>(),
  ) {
    this.#untilOf = untilOf;
    this.#known = known;
  }

  accepts(signer: PathCertificate): boolean {
    const { thumbprint } = signer;
    const until = this.#known.has(thumbprint) ? this.#known.get(thumbprint) : this.#untilOf(signer);
    this.#known.set(thumbprint, until);
    this.until = Math.min(this.until, until ?? Number.POSITIVE_INFINITY);
    return until !== undefined;
  }
}

/** What is known of the signers below one anchor, found out at a time. */
interface KeptSigners {
  readonly depends: Dependency;
  readonly known: Map<string, number | undefined>;
  readonly generation: number;
  /** The generation of the configured certificates. */
  readonly configuredGeneration: number;
  readonly at: number;
}

/** Trust anchors whose signers are kept. */
const MAX_ANCHORS = 100;

/**
 * How many signers of lists the status of one more signer may depend on: an authority and the one above
 * it may each have a key for lists alone.
 */
const MAX_SIGNER_DEPTH = 3;

/** For which path, and for which signers, the status of a certificate is needed. */
interface Dependency {
  readonly anchor: PathCertificate;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** The thumbprints of the signers that are being checked: the status of each depends on the next one. */
  readonly of: readonly string[];
  /** What was found out of those on which no other one may depend, by thumbprint. */
  readonly deepest: Map<string, { readonly until: number | undefined }>;
}

/** The links of a path, and of the paths of all signers that may have signed a list for them. */
function withSigners(
  path: readonly PathCertificate[],
  anchor: PathCertificate,
  crlSigners: Pick<CrlSigners, 'othersOf' | 'pathOf' | 'generation'>,
): readonly Link[] {
  const all = links(path);
  const seen = new Set<string>();
  for (const [, issuer] of all) {
    for (const signer of crlSigners.othersOf(issuer).filter((one) => !seen.has(one.thumbprint))) {
      seen.add(signer.thumbprint);
      // The loop comes to these, too.
      all.push(...links(crlSigners.pathOf(signer, anchor, Date.now())?.path ?? []));
    }
  }
  return all;
}

/** A certificate and its issuer. */
type Link = readonly [PathCertificate, PathCertificate];

/** Each certificate of a path with its issuer. */
function links(path: readonly PathCertificate[]): Link[] {
  return path.slice(1).map((issuer, index) => [path[index] ?? issuer, issuer]);
}

function isPending(answer: StatusAnswer): boolean {
  return answer.state === 'unknown' && answer.isPending === true;
}

/** Waits for what is under way, or until the time is over. Never rejects. */
function waitFor(ready: Promise<unknown>, seconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1_000);
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    ready.then(end, end);
  });
}
