import { isSameBytes } from '../certificate/der-members.js';
import { comparableKey } from '../chain/comparable-key.js';
import { extensionOf, pathExtensionIds, readBasicConstraints } from '../chain/extension-values.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { redactUrl } from '../shared/shown-url.js';
import { authorityKeyOf, quotaOwnerOfLists } from './authority-key.js';
import { type Crl, lacksCrlSign, mayProve, openCrlByAny, readCrlHead } from './crl.js';
import { CrlFiles, isUsable } from './crl-files.js';
import { coveredReasons } from './crl-scope.js';
import { type DistributionPoints, readDistributionPoints } from './distribution-points.js';
import { KeptRecords } from './kept-records.js';
import { MAX_POINT_NAMES } from './point-names.js';
import { LEAST_PAUSE, RefreshedValue } from './refreshed-value.js';
import { ALL_REASONS, reasonName } from './revocation-reasons.js';
import type { StatusRequest } from './status-fetcher.js';
import {
  joinFaults,
  reasonAbout,
  reasonOfError,
  StatusError,
  type StatusReason,
  unexpected304,
} from './status-reason.js';
import type {
  QuotaOwner,
  SignerWeight,
  SignerWeights,
  SourceParts,
  StatusAnswer,
  StatusSource,
} from './status-source.js';

/** Lists that are kept, each for the issuer that signed it, and those that could not be fetched. */
const MAX_LISTS = 1_000;

/** Kept lists take at most this many times `maxSize` together. */
const LISTS_OF_MAX_SIZE = 16;

/** Dropped lists whose last attempt is remembered. */
const MAX_DROPPED = 10_000;

/**
 * Lists by one key, of different kinds, that are kept for one URI. An authority publishes one list there, and
 * an attacker on the way can send other lists of that authority.
 */
const MAX_KINDS = 8;

/**
 * After this many requests with the ETag of the kept list, the next one has none: an attacker on the way may
 * have replaced the list or its ETag, so that the two do not belong together.
 */
const MAX_WITH_ETAG = 3;

/** removeFromCRL: the certificate is no longer on hold (RFC 5280 §5.3.1). In delta lists alone. */
const REMOVED = 8;

const otherSigner: StatusReason = {
  code: 'wrong_signer',
  why:
    'it is signed by another certificate of its issuer, which has no valid path to the same authority, or ' +
    'whose own status is not known to be good',
};

const fromTheFuture: StatusReason = { code: 'wrong_time', why: 'its thisUpdate is in the future' };
const notAboutIt: StatusReason = { code: 'form_not_supported', why: 'no list is about it for every reason' };
const tooManyNames: StatusReason = {
  code: 'too_large',
  why: `its distribution points have more than ${MAX_POINT_NAMES} names`,
};
const notValidYet: StatusReason = { code: 'wrong_time', why: 'the list about it is not valid yet' };
const expired: StatusReason = { code: 'outdated', why: 'the list about it has expired' };
const deltaList: StatusReason = {
  code: 'form_not_supported',
  why: 'the list about it is a delta list, which is not supported',
};
const namesNone: StatusReason = {
  code: 'not_published',
  why: 'it names no revocation list that can be fetched, and no file has one of its issuer',
};
const notOpened: StatusReason & { readonly isPending: true } = {
  code: 'unreachable',
  why: 'the lists of its issuer in the files are still being read',
  isPending: true,
};
const notFetched: StatusReason = {
  code: 'unreachable',
  why: 'its revocation list was not fetched in time',
};
const dropped: StatusReason = {
  code: 'too_large',
  why:
    `it was dropped, as the process keeps ${MAX_LISTS} fetched lists, which take ` +
    `${LISTS_OF_MAX_SIZE} times maxSize together, and is fetched again ${LEAST_PAUSE} s after the last time`,
};

/** What was fetched from one URI. */
interface FetchedLists {
  readonly etag: string | undefined;
  readonly latest: Crl;
  /**
   * The newest list of each kind, by each key that has signed one: lists of different kinds do not replace
   * one another. What a list of another key counts for is found out when the list is used.
   */
  readonly lists: readonly Crl[];
}

/** Looks certificates up in revocation lists (RFC 5280 §6.3). */
export class CrlSource implements StatusSource {
  readonly #parts: SourceParts;
  readonly #files: CrlFiles | undefined;
  /**
   * A list is about the name and the key of its issuer, whichever certificate of the issuer a client sends.
   * Each authority that needs a list has a record of its own, which is fetched within its own quota. The
   * newest list counts for all.
   */
  readonly #fetched: KeptRecords<RefreshedValue<FetchedLists>>;
  readonly #points = new WeakMap<PathCertificate, DistributionPoints>();

  /** Throws `ConfigurationError` for a file that can't be used. */
  constructor(parts: SourceParts) {
    this.#parts = parts;
    const { settings, onChange, report } = parts;
    this.#fetched = new KeptRecords({
      count: MAX_LISTS,
      bytes: LISTS_OF_MAX_SIZE * settings.maxSize,
      dropped: MAX_DROPPED,
    });
    this.#files =
      settings.crlFiles === undefined
        ? undefined
        : new CrlFiles({
            paths: settings.crlFiles,
            option: settings.crlFilesOption,
            maxSize: settings.maxSize,
            clockTolerance: () => parts.clockTolerance,
            onChange,
            onFailure: (message) => report('crl_unreadable', message),
          });
  }

  prepare(
    certificate: PathCertificate,
    issuer: PathCertificate,
    authority: QuotaOwner,
    signers: SignerWeights,
  ): Promise<void> | undefined {
    const opening = this.openListsInFiles(issuer);
    return opening === undefined
      ? this.#loadPoints(certificate, issuer, authority, signers)
      : opening.then(() => this.#loadPoints(certificate, issuer, authority, signers));
  }

  openListsInFiles(issuer: PathCertificate): Promise<void> | undefined {
    const opening = [issuer, ...this.#parts.othersOf(issuer)]
      .map((one) => this.#files?.open(one))
      .filter((wait) => wait !== undefined);
    return opening.length === 0 ? undefined : Promise.all(opening).then(() => undefined);
  }

  answer(
    certificate: PathCertificate,
    issuer: PathCertificate,
    now: number,
    signers: SignerWeights,
  ): StatusAnswer {
    const weights = this.#weightsFor(issuer, signers);
    const found: (Crl | StatusReason)[] = [
      ...(this.#files?.listsOf(issuer).lists ?? []),
      ...this.#listsInFilesBySigners(issuer, weights),
    ];
    for (const uri of this.#urisOf(certificate).flat()) {
      const records = this.#fetched.ofAllOwners(keyOf(issuer, uri));
      const fetched = records.flatMap(({ value }) => value?.lists ?? []);
      const counting = fetched.filter((list) => weights.of(list) !== 'nothing');
      if (fetched.length === 0) {
        found.push(...records.flatMap(({ failure }) => failure ?? []));
      } else {
        found.push(...(counting.length > 0 ? counting : [otherSigner]));
      }
    }
    const answer = this.#judge(certificate, weights, found.filter(isUsable), now);
    const isPending = [issuer, ...this.#parts.othersOf(issuer)].some(
      (one) => this.#files?.listsOf(one).isPending,
    );
    if (isPending && answer.state !== 'revoked') {
      return { state: 'unknown', ...notOpened };
    }
    const faults = found.filter((one): one is StatusReason => !isUsable(one));
    return answer.state !== 'unknown' || faults.length === 0
      ? answer
      : { state: 'unknown', ...joinFaults(faults) };
  }

  close(): void {
    this.#files?.close();
    this.#fetched.clear();
  }

  /**
   * Returns the lists in the files that other certificates of the issuer have signed. Leaves out lists by
   * other keys, lists that can't be used, and those that count for nothing.
   */
  #listsInFilesBySigners(issuer: PathCertificate, weights: ListWeights): Crl[] {
    const others = this.#files === undefined ? [] : this.#parts.othersOf(issuer);
    return others
      .flatMap((other) => this.#files?.listsOf(other).lists.filter(isUsable) ?? [])
      .filter((list) => weights.of(list) !== 'nothing');
  }

  #weightsFor(issuer: PathCertificate, signers: SignerWeights): ListWeights {
    const weightOfKey = (key: string): SignerWeight => {
      const weights = this.#parts
        .othersOf(issuer)
        .filter((other) => comparableKey(other) === key)
        .map((other) => signers.weightOf(other));
      const order = ['all', 'revocations'] as const;
      return order.find((weight) => weights.includes(weight)) ?? 'nothing';
    };
    const known = new Map<string, SignerWeight>([[comparableKey(issuer), 'all']]);
    const weightOf = ({ signerKey }: Crl): SignerWeight => {
      const weight = known.get(signerKey) ?? weightOfKey(signerKey);
      known.set(signerKey, weight);
      return weight;
    };
    const explainSigner = (list: Crl) => (weightOf(list) === 'all' ? undefined : otherSigner);
    return {
      of: weightOf,
      explainNoProof: (list) => (mayProve(list, issuer) ? explainSigner(list) : lacksCrlSign),
    };
  }

  #loadPoints(
    certificate: PathCertificate,
    issuer: PathCertificate,
    authority: QuotaOwner,
    signers: SignerWeights,
  ): Promise<void> | undefined {
    const weights = this.#weightsFor(issuer, signers);
    const own = this.#files?.listsOf(issuer).lists.filter(isUsable) ?? [];
    const inFiles = [...own, ...this.#listsInFilesBySigners(issuer, weights)];
    const now = Date.now();
    // What an expired list revokes is revoked until a newer list says otherwise, which may be at a URI.
    const current = inFiles.filter((list) => now <= this.#endOf(list));
    const isSettled =
      this.#judge(certificate, weights, inFiles, now).state === 'good' ||
      this.#judge(certificate, weights, current, now).state === 'revoked';
    if (isSettled) {
      return undefined;
    }
    const points = this.#pointsOf(certificate);
    const waiting = points.uris
      .map((uris) => this.#loadOneOf(issuer, points, uris, authority))
      .filter((wait) => wait !== undefined);
    return waiting.length === 0 ? undefined : Promise.all(waiting).then(() => undefined);
  }

  /** The URIs of one point name the same list: the next one is asked if one fails. */
  #loadOneOf(
    issuer: PathCertificate,
    points: DistributionPoints,
    uris: readonly string[],
    authority: QuotaOwner,
  ): Promise<void> | undefined {
    for (const [index, uri] of uris.entries()) {
      const record = this.#recordOf(issuer, points, uri, authority);
      const waiting = record.use();
      if (waiting !== undefined) {
        const further = uris.slice(index + 1);
        return waiting.then(() =>
          record.failure === undefined ? undefined : this.#loadOneOf(issuer, points, further, authority),
        );
      }
      if (record.failure === undefined) {
        return undefined;
      }
    }
    return undefined;
  }

  #recordOf(
    issuer: PathCertificate,
    points: DistributionPoints,
    uri: string,
    authority: QuotaOwner,
  ): RefreshedValue<FetchedLists> {
    const key = keyOf(issuer, uri);
    const owner = quotaOwnerOfLists(issuer, authority);
    const known = this.#fetched.get(key, owner);
    if (known !== undefined) {
      return known;
    }
    const { settings, onChange, report } = this.#parts;
    let withEtag = 0;
    const attemptedAt = this.#fetched.lastAttemptOfDropped(key, owner);
    const failure = reasonAbout(`the revocation list ${redactUrl(uri)}`, dropped);
    const record = new RefreshedValue<FetchedLists>({
      ask: async (previous, urgency) => {
        const etag = withEtag < MAX_WITH_ETAG ? previous?.etag : undefined;
        const place = { authority: owner.name, urgency, etag };
        const fetched = await this.#fetchList(issuer, points, uri, previous, place);
        withEtag = etag === undefined ? 0 : withEtag + 1;
        return fetched;
      },
      until: ({ latest }) => latest.nextUpdate,
      longestPause: settings.refreshInterval,
      dropped: attemptedAt === undefined ? undefined : { attemptedAt, failure },
      onChange: () => {
        this.#fetched.resize(key, record, sizeOf(record));
        onChange();
      },
      onFailure: (why) => report('crl_unavailable', why),
    });
    this.#fetched.add(key, owner, record);
    if (record.failure !== undefined) {
      this.#fetched.resize(key, record, 0);
      report('crl_unavailable', record.failure.why);
    }
    return record;
  }

  async #fetchList(
    issuer: PathCertificate,
    points: DistributionPoints,
    uri: string,
    previous: FetchedLists | undefined,
    place: Pick<StatusRequest, 'authority' | 'urgency' | 'etag'>,
  ): Promise<FetchedLists> {
    const { fetcher, settings, clockTolerance } = this.#parts;
    const shown = `the revocation list ${redactUrl(uri)}`;
    const fetched = await fetcher
      .fetch(uri, {
        ...place,
        accept: 'application/pkix-crl',
        maxSize: settings.maxSize,
      })
      .catch((error: unknown) => {
        throw new StatusError(reasonAbout(shown, reasonOfError(error)));
      });
    const isNew =
      previous === undefined || (fetched !== 'unchanged' && !isSameBytes(previous.latest.der, fetched.body));
    if (!isNew) {
      return previous;
    }
    if (fetched === 'unchanged') {
      throw new StatusError(reasonAbout(shown, unexpected304));
    }
    const head = readCrlHead(fetched.body);
    const list = 'why' in head ? head : await openCrlByAny(head, issuer, this.#parts.othersOf(issuer));
    if ('why' in list) {
      throw new StatusError(reasonAbout(shown, list));
    }
    if (list.thisUpdate - 1_000 * clockTolerance > Date.now()) {
      throw new StatusError(reasonAbout(shown, fromTheFuture));
    }
    const lists = previous?.lists ?? [];
    const others = lists.filter((one) => !isSameKind(one, list));
    const earlier = lists.find((one) => isSameKind(one, list));
    // An attacker on the way can repeat an old list: it does not replace a newer one.
    return previous !== undefined && earlier !== undefined && list.thisUpdate < earlier.thisUpdate
      ? previous
      : { etag: fetched.etag, latest: list, lists: limitKinds([list, ...others], list.signerKey, points) };
  }

  /**
   * Of each kind the newest list counts, wherever it is from. A current full list that names the certificate
   * revokes it. An expired list or a delta list that names it revokes it, too, unless newer current lists by
   * the same key clear it for every reason. Two kinds of lists prove no certificate good: delta lists, and
   * lists for which `explainNoProof()` gives a reason.
   */
  #judge(
    certificate: PathCertificate,
    weights: ListWeights,
    lists: readonly Crl[],
    now: number,
  ): StatusAnswer {
    const points = this.#pointsOf(certificate);
    const tolerance = 1_000 * this.#parts.clockTolerance;
    const serial = Buffer.from(certificate.serialNumber, 'hex');
    const isAuthority = hasAuthorityFlag(certificate);
    const reasonsOf = ({ scope }: Crl): number => coveredReasons(scope, points.reasons, isAuthority);
    const about = lists.filter((list) => reasonsOf(list) !== 0);
    const valid = about.filter(({ thisUpdate }) => thisUpdate - tolerance <= now);
    let covered = 0;
    let until = Number.POSITIVE_INFINITY;
    let unknown = lists.length === 0 ? this.#explainNoList(certificate) : explainNotAbout(points);
    unknown = valid.length < about.length ? notValidYet : unknown;
    const revoking: { readonly list: Crl; readonly answer: StatusAnswer }[] = [];
    // Current lists that do not revoke it.
    const clearing: Crl[] = [];
    for (const list of newestOfEachKind(valid)) {
      const isCurrent = now <= this.#endOf(list);
      const listed = list.entries.reasonOf(serial);
      const isRemoved = list.isDelta && listed === REMOVED;
      if (listed !== undefined && !isRemoved) {
        const answer = { state: 'revoked', why: `its revocation list says ${reasonName(listed)}` } as const;
        if (isCurrent && !list.isDelta) {
          return answer;
        }
        revoking.push({ list, answer });
      } else if (list.isDelta) {
        unknown = deltaList;
        clearing.push(...(isRemoved && isCurrent ? [list] : []));
      } else if (isCurrent) {
        const noProof = weights.explainNoProof(list);
        clearing.push(list);
        until = Math.min(until, this.#endOf(list));
        covered |= noProof === undefined ? reasonsOf(list) : 0;
        unknown = noProof ?? unknown;
      } else {
        unknown = expired;
      }
    }
    const standing = revoking.find(({ list: { signerKey, thisUpdate } }) => {
      const newer = clearing.filter((one) => one.signerKey === signerKey && one.thisUpdate > thisUpdate);
      return newer.reduce((all, one) => all | reasonsOf(one), 0) !== ALL_REASONS;
    });
    if (standing !== undefined) {
      return standing.answer;
    }
    return covered === ALL_REASONS ? { state: 'good', until } : { state: 'unknown', ...unknown };
  }

  /** Until when a list is current, in milliseconds since the epoch. */
  #endOf({ nextUpdate }: Crl): number {
    return nextUpdate + 1_000 * this.#parts.clockTolerance;
  }

  #explainNoList(certificate: PathCertificate): StatusReason {
    const points = this.#pointsOf(certificate);
    if (points.uris.length > 0) {
      return notFetched;
    }
    return points.hasTooManyNames ? tooManyNames : namesNone;
  }

  #pointsOf(certificate: PathCertificate): DistributionPoints {
    const known = this.#points.get(certificate);
    if (known !== undefined) {
      return known;
    }
    const points = readDistributionPoints(certificate);
    this.#points.set(certificate, points);
    return points;
  }

  /** The URIs of each point. */
  #urisOf(certificate: PathCertificate): readonly (readonly string[])[] {
    return this.#pointsOf(certificate).uris;
  }
}

/** What the lists of one issuer count for. */
interface ListWeights {
  of(list: Crl): SignerWeight;
  /** Why a list that counts is no proof that a certificate is good; `undefined` if it is one. */
  explainNoProof(list: Crl): StatusReason | undefined;
}

/**
 * Whether a certificate is that of an authority for the scope of a list. The flag of its basic constraints
 * says so, whatever its key usage is (RFC 5280 §6.3.3 (b)(2)).
 */
function hasAuthorityFlag(certificate: PathCertificate): boolean {
  const basic = extensionOf(certificate, pathExtensionIds.basicConstraints, readBasicConstraints);
  return typeof basic !== 'string' && basic.isAuthority;
}

/** Why lists are not about a certificate for every reason. */
function explainNotAbout({ hasTooManyNames }: DistributionPoints): StatusReason {
  return hasTooManyNames ? tooManyNames : notAboutIt;
}

function keyOf(issuer: PathCertificate, uri: string): string {
  return `${authorityKeyOf(issuer)} ${uri}`;
}

function isSameKind(one: Crl, other: Crl): boolean {
  return one.signerKey === other.signerKey && one.kind === other.kind;
}

/**
 * Of lists that were fetched from several places or for several authorities, the newest of each kind by each
 * key. Of two lists of one time both count: one of them may revoke what the other one does not.
 */
function newestOfEachKind(lists: readonly Crl[]): readonly Crl[] {
  const newest = new Map<string, number>();
  const keyOfKind = ({ signerKey, kind }: Crl): string => `${signerKey} ${kind}`;
  for (const list of lists) {
    const key = keyOfKind(list);
    newest.set(key, Math.max(list.thisUpdate, newest.get(key) ?? list.thisUpdate));
  }
  return lists.filter((list) => list.thisUpdate === newest.get(keyOfKind(list)));
}

/**
 * Of too many lists by one key, drops those of other points first, then delta lists, then the oldest. A delta
 * list has a kind of its own for each list that it continues, and takes the place of no full list.
 *
 * @param points those of a certificate that needs them
 */
function limitKinds(lists: readonly Crl[], key: string, points: DistributionPoints): readonly Crl[] {
  const isOfPoint = ({ scope }: Crl): boolean =>
    coveredReasons({ ...scope, certificates: 'all' }, points.reasons, false) !== 0;
  const byKey = lists
    .filter(({ signerKey }) => signerKey === key)
    .toSorted(
      (one, other) =>
        Number(isOfPoint(other)) - Number(isOfPoint(one)) ||
        Number(one.isDelta) - Number(other.isDelta) ||
        other.thisUpdate - one.thisUpdate,
    );
  return [...byKey.slice(0, MAX_KINDS), ...lists.filter(({ signerKey }) => signerKey !== key)];
}

function sizeOf({ value }: RefreshedValue<FetchedLists>): number {
  const kept = new Set(value && [value.latest, ...value.lists]);
  return [...kept].reduce((sum, { size }) => sum + size, 0);
}
