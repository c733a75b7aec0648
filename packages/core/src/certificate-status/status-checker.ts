import { LRUCache } from 'lru-cache';
import type { CrlSigners } from '../chain/crl-signers.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import type { ReportProblem } from '../observe/events.js';
import type { ResolveHost } from '../shared/resolve-host.js';
import { quotaOwnerOf } from './authority-key.js';
import { CrlSource } from './crl-source.js';
import { OcspSource } from './ocsp-source.js';
import { skipRepeatedReports } from './repeated-reports.js';
import { createStatusFetcher } from './status-fetcher.js';
import type { CertificateStatusSettings } from './status-options.js';
import { joinFaults, type StatusReason } from './status-reason.js';
import type { QuotaOwner, SignerWeight, SignerWeights, StatusAnswer, StatusSource } from './status-source.js';

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

type SignersOfLists = Pick<CrlSigners, 'othersOf' | 'pathOf' | 'anyPathOf' | 'generation'>;

/** What else the status of certificates depends on. */
export interface StatusContext {
  /** Which other certificates of an authority may sign its lists. Default: none. */
  readonly crlSigners?: SignersOfLists;
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

  const answersOf = ([certificate, issuer]: Link, now: number, signers: SignerWeights) =>
    sources.map((source) => source.answer(certificate, issuer, now, signers));

  /** Whether every certificate of a signer's path is good, and until when. */
  const goodUntil = (path: readonly PathCertificate[], depends: Dependency): number | undefined => {
    const signers = new SignerCheck((signer) => findWeight(signer, depends));
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
   * Whether a signer is known to be revoked. Only a list of weight `all` can revoke a signer. Otherwise the
   * holder of a key of weight `revocations` could revoke another signer, and the revocations in that signer's
   * list would no longer count.
   */
  const isKnownRevoked = (path: readonly PathCertificate[], depends: Dependency): boolean => {
    const weightOf = (signer: PathCertificate): SignerWeight => {
      const { weight } = findWeight(signer, depends);
      return weight === 'all' ? weight : 'nothing';
    };
    const [own] = links(path);
    return (
      own !== undefined && answersOf(own, depends.now, { weightOf }).some(({ state }) => state === 'revoked')
    );
  };

  /**
   * Finds out what the lists of another certificate of an issuer count for:
   *
   * - all that they say, if its path leads to the same trust anchor and none of the path is revoked
   * - what they revoke, if it has a path to any trust anchor and is not known to be revoked itself: the
   *   client chooses the anchor, and an attacker on the way can hide the status of the certificate
   *
   * A list proves nothing about the certificate whose key signed the list.
   */
  const findWeight = (certificate: PathCertificate, depends: Dependency): WeightUntil => {
    const { anchor, now, signersUnderCheck, deepest } = depends;
    const { thumbprint } = certificate;
    if (signersUnderCheck.length >= MAX_SIGNER_DEPTH || signersUnderCheck.includes(thumbprint)) {
      return weightless;
    }
    const known = signersUnderCheck.length === MAX_SIGNER_DEPTH - 1 ? deepest.get(thumbprint) : undefined;
    if (known !== undefined) {
      return known;
    }
    const inner = { ...depends, signersUnderCheck: [...signersUnderCheck, thumbprint] };
    const same = crlSigners.pathOf(certificate, anchor, now);
    const found = same ?? crlSigners.anyPathOf(certificate, now);
    const good = same && goodUntil(same.path, inner);
    // What is known of signers below one anchor does not hold below another one.
    const belowFound = same ? inner : { ...inner, anchor: found?.path.at(-1) ?? anchor, deepest: new Map() };
    let weight = weightless;
    if (same !== undefined && good !== undefined) {
      weight = { weight: 'all', until: Math.min(good, same.validUntil) };
    } else if (found !== undefined && !isKnownRevoked(found.path, belowFound)) {
      weight = { weight: 'revocations', until: found.validUntil };
    }
    if (signersUnderCheck.length === MAX_SIGNER_DEPTH - 1) {
      deepest.set(thumbprint, weight);
    }
    return weight;
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
    return new SignerCheck((signer) => findWeight(signer, depends), known);
  };
  const keepSigners = (anchor: PathCertificate, now: number): KeptSigners => {
    const depends = { anchor, now, signersUnderCheck: [], deepest: new Map() };
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
    authority: QuotaOwner,
  ): Promise<void> | undefined => {
    const [certificate, issuer] = link;
    const signersNow = () => checkSigners(anchor, Date.now());
    for (const [index, source] of sources.entries()) {
      if (index < first) {
        continue;
      }
      // A later source that says revoked is asked again: the revocation may have ended.
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
      const openListsInFiles = (): Promise<void>[] =>
        needed
          .flatMap(([, issuer]) => sources.map((source) => source.openListsInFiles?.(issuer)))
          .filter((wait) => wait !== undefined);
      const waiting = needed
        .map((link) => anchor && loadFrom(0, link, anchor, quotaOwnerOf(path)))
        .filter((wait) => wait !== undefined)
        .concat(openListsInFiles());
      if (waiting.length === 0) {
        return undefined;
      }
      // Other clients may have displaced an issuer while the list of another one was fetched.
      const ready = Promise.all(waiting).then(() => Promise.all(openListsInFiles()));
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

const noSigners: SignersOfLists = {
  othersOf: () => [],
  pathOf: () => undefined,
  anyPathOf: () => undefined,
  generation: 0,
};

/** What the lists of a signer count for, and until when. `until` is in milliseconds since the epoch. */
interface WeightUntil {
  readonly weight: SignerWeight;
  readonly until: number;
}

const weightless: WeightUntil = { weight: 'nothing', until: Number.POSITIVE_INFINITY };

/** Asks what the lists of signers count for, each once, and remembers until when this holds. */
class SignerCheck implements SignerWeights {
  readonly #find: (signer: PathCertificate) => WeightUntil;
  readonly #known: Map<string, WeightUntil>;
  /** In milliseconds since the epoch. */
  until = Number.POSITIVE_INFINITY;

  constructor(find: (signer: PathCertificate) => WeightUntil, known = new Map<string, WeightUntil>()) {
    this.#find = find;
    this.#known = known;
  }

  weightOf(signer: PathCertificate): SignerWeight {
    const { weight, until } = this.#known.get(signer.thumbprint) ?? this.#find(signer);
    this.#known.set(signer.thumbprint, { weight, until });
    this.until = Math.min(this.until, until);
    return weight;
  }
}

/** What was found out about the signers below one anchor, at one moment. */
interface KeptSigners {
  readonly depends: Dependency;
  readonly known: Map<string, WeightUntil>;
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
  /**
   * The thumbprints of the signers that are being checked: the status of each one depends on the next one.
   */
  readonly signersUnderCheck: readonly string[];
  /** What was found out about signers at the deepest level, by thumbprint: it depends on no other signer. */
  readonly deepest: Map<string, WeightUntil>;
}

/** The links of a path, and of the paths of all signers that may have signed a list for them. */
function withSigners(
  path: readonly PathCertificate[],
  anchor: PathCertificate,
  crlSigners: SignersOfLists,
): readonly Link[] {
  const all = links(path);
  const seen = new Set<string>();
  for (const [, issuer] of all) {
    for (const signer of crlSigners.othersOf(issuer).filter((one) => !seen.has(one.thumbprint))) {
      seen.add(signer.thumbprint);
      const now = Date.now();
      const found = crlSigners.pathOf(signer, anchor, now) ?? crlSigners.anyPathOf(signer, now);
      // The loop comes to these links, too.
      all.push(...links(found?.path ?? []));
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
