import { isSameBytes } from '../certificate/der-members.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { redactUrl } from '../shared/shown-url.js';
import { nameAuthority, ownerOf } from './authority-name.js';
import { comparableKey } from './comparable-key.js';
import { type Crl, lacksCrlSign, mayProve, openCrlByAny, readCrlHead } from './crl.js';
import { CrlFiles, isUsable } from './crl-files.js';
import { coveredReasons } from './crl-scope.js';
import { type DistributionPoints, readDistributionPoints } from './distribution-points.js';
import { KeptRecords } from './kept-records.js';
import { MAX_POINT_NAMES } from './point-names.js';
import { RefreshedValue } from './refreshed-value.js';
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
  AcceptedSigners,
  AccountableAuthority,
  SourceParts,
  StatusAnswer,
  StatusSource,
} from './status-source.js';

/** Lists that are kept, each for the issuer that signed it, and those that could not be fetched. */
const MAX_LISTS = 1_000;

/** All of them take so many times `maxSize` at most. */
const LISTS_OF_MAX_SIZE = 16;

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
const notFetched: StatusReason = {
  code: 'unreachable',
  why: 'its revocation list was not fetched in time',
};

/** What was fetched from one place. */
interface FetchedLists {
  readonly etag: string | undefined;
  readonly latest: Crl;
  /**
   * The newest list by each key that has signed one. A list by another key takes no place of one that is
   * there: whether that key counts is found out when the list is used.
   */
  readonly lists: readonly Crl[];
}

/** Looks certificates up in revocation lists (RFC 5280 §6.3). */
export class CrlSource implements StatusSource {
  readonly #parts: SourceParts;
  readonly #files: CrlFiles | undefined;
  /**
   * A list is about the name and the key of its issuer, whichever certificate of the issuer a client sends.
   * Each authority that needs it has its own record, which is fetched in its turn. The newest counts for all.
   */
  readonly #fetched: KeptRecords<RefreshedValue<FetchedLists>>;
  readonly #points = new WeakMap<PathCertificate, DistributionPoints>();

  /** Throws `ConfigurationError` for a file that can't be used. */
  constructor(parts: SourceParts) {
    this.#parts = parts;
    const { settings, onChange, report } = parts;
    this.#fetched = new KeptRecords({ count: MAX_LISTS, bytes: LISTS_OF_MAX_SIZE * settings.maxSize });
    this.#files =
      settings.crlFiles === undefined
        ? undefined
        : new CrlFiles({
            paths: settings.crlFiles,
            option: settings.crlFilesPath,
            maxSize: settings.maxSize,
            onChange,
            onFailure: (message) => report('crl_unreadable', message),
          });
  }

  prepare(
    certificate: PathCertificate,
    issuer: PathCertificate,
    authority: AccountableAuthority,
    signers: AcceptedSigners,
  ): Promise<void> | undefined {
    const opening = [issuer, ...this.#parts.othersOf(issuer)]
      .map((one) => this.#files?.open(one))
      .filter((wait) => wait !== undefined);
    return opening.length === 0
      ? this.#loadPoints(certificate, issuer, authority, signers)
      : Promise.all(opening).then(() => this.#loadPoints(certificate, issuer, authority, signers));
  }

  answer(
    certificate: PathCertificate,
    issuer: PathCertificate,
    now: number,
    signers: AcceptedSigners,
  ): StatusAnswer {
    const faults: StatusReason[] = [];
    const fetched = this.#urisOf(certificate)
      .flat()
      .map((uri) => this.#fetched.ofAllOwners(keyOf(issuer, uri)));
    const counts = ({ signerKey }: Crl): boolean =>
      signerKey === comparableKey(issuer) ||
      this.#parts
        .othersOf(issuer)
        .some((other) => signerKey === comparableKey(other) && signers.accepts(other));
    const lists = [
      ...(this.#files?.listsOf(issuer) ?? []),
      ...this.#listsInFilesBySigners(issuer, signers),
      ...fetched.flatMap((records): readonly (Crl | StatusReason | undefined)[] => {
        const values = records.flatMap(({ value }) => value ?? []);
        if (values.length === 0) {
          return records.map(({ failure }) => failure);
        }
        const signed = newestLists(values).filter(counts);
        return signed.length > 0 ? signed : [otherSigner];
      }),
    ];
    const usable: Crl[] = [];
    for (const list of lists) {
      if (list !== undefined && 'why' in list) {
        faults.push(list);
      } else if (list !== undefined) {
        usable.push(list);
      }
    }
    const answer = this.#judge(certificate, issuer, usable, now);
    if (answer.state !== 'unknown' || faults.length === 0) {
      return answer;
    }
    return { state: 'unknown', ...joinFaults(faults) };
  }

  close(): void {
    this.#files?.close();
    this.#fetched.clear();
  }

  /** What else is in the files is of another key, or can't be used. */
  #listsInFilesBySigners(issuer: PathCertificate, signers: AcceptedSigners): Crl[] {
    const files = this.#files;
    return files === undefined
      ? []
      : this.#parts.othersOf(issuer).flatMap((other) => {
          const lists = files.listsOf(other).filter(isUsable);
          return lists.length > 0 && signers.accepts(other) ? lists : [];
        });
  }

  #loadPoints(
    certificate: PathCertificate,
    issuer: PathCertificate,
    authority: AccountableAuthority,
    signers: AcceptedSigners,
  ): Promise<void> | undefined {
    const own = this.#files?.listsOf(issuer).filter(isUsable) ?? [];
    const inFiles = [...own, ...this.#listsInFilesBySigners(issuer, signers)];
    if (this.#judge(certificate, issuer, inFiles, Date.now()).state !== 'unknown') {
      return undefined;
    }
    const waiting = this.#urisOf(certificate)
      .map((uris) => this.#loadOneOf(issuer, uris, authority))
      .filter((wait) => wait !== undefined);
    return waiting.length === 0 ? undefined : Promise.all(waiting).then(() => undefined);
  }

  /** The URIs of one point name the same list: the next one is asked if one fails. */
  #loadOneOf(
    issuer: PathCertificate,
    uris: readonly string[],
    authority: AccountableAuthority,
  ): Promise<void> | undefined {
    for (const [index, uri] of uris.entries()) {
      const record = this.#recordOf(issuer, uri, authority);
      const waiting = record.use();
      if (waiting !== undefined) {
        const further = uris.slice(index + 1);
        return waiting.then(() =>
          record.failure === undefined ? undefined : this.#loadOneOf(issuer, further, authority),
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
    uri: string,
    authority: AccountableAuthority,
  ): RefreshedValue<FetchedLists> {
    const key = keyOf(issuer, uri);
    const owner = ownerOf(issuer, authority);
    const known = this.#fetched.get(key, owner);
    if (known !== undefined) {
      return known;
    }
    const { settings, onChange, report } = this.#parts;
    const record = new RefreshedValue<FetchedLists>({
      ask: (previous, urgency) => this.#fetchList(issuer, uri, previous, { authority: owner.name, urgency }),
      until: ({ latest }) => latest.nextUpdate,
      interval: settings.refreshInterval,
      onChange: () => {
        this.#fetched.resize(key, record, sizeOf(record));
        onChange();
      },
      onFailure: (why) => report('crl_unavailable', why),
    });
    this.#fetched.add(key, owner, record);
    return record;
  }

  async #fetchList(
    issuer: PathCertificate,
    uri: string,
    previous: FetchedLists | undefined,
    place: Pick<StatusRequest, 'authority' | 'urgency'>,
  ): Promise<FetchedLists> {
    const { fetcher, settings, clockTolerance } = this.#parts;
    const shown = `the revocation list ${redactUrl(uri)}`;
    const fetched = await fetcher
      .fetch(uri, {
        ...place,
        accept: 'application/pkix-crl',
        maxSize: settings.maxSize,
        etag: previous?.etag,
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
    const earlier = lists.find(({ signerKey }) => signerKey === list.signerKey);
    // Anybody on the way can repeat an old list: it does not take the place of a newer one.
    return previous !== undefined && earlier !== undefined && list.thisUpdate < earlier.thisUpdate
      ? previous
      : { etag: fetched.etag, latest: list, lists: [list, ...lists.filter((one) => one !== earlier)] };
  }

  /**
   * An expired list still revokes, unless a newer one by the same key that is current says otherwise. A
   * delta list, and one whose issuer lacks cRLSign, revoke, and are never a proof that a certificate is
   * good.
   */
  #judge(
    certificate: PathCertificate,
    issuer: PathCertificate,
    lists: readonly Crl[],
    now: number,
  ): StatusAnswer {
    const points = this.#pointsOf(certificate);
    const tolerance = 1_000 * this.#parts.clockTolerance;
    const serial = Buffer.from(certificate.serialNumber, 'hex');
    let covered = 0;
    const current: { readonly signerKey: string; readonly thisUpdate: number; readonly reasons: number }[] =
      [];
    let until = Number.POSITIVE_INFINITY;
    const revokedByExpired: {
      readonly signerKey: string;
      readonly thisUpdate: number;
      readonly answer: StatusAnswer;
    }[] = [];
    let unknown = lists.length === 0 ? this.#explainNoList(certificate) : explainNotAbout(points);
    for (const list of lists) {
      const { scope, isDelta, entries, thisUpdate, nextUpdate, signerKey } = list;
      const reasons = coveredReasons(scope, points.reasons, certificate.x509.ca);
      if (reasons === 0) {
        continue;
      }
      if (thisUpdate - tolerance > now) {
        unknown = notValidYet;
        continue;
      }
      const isCurrent = now <= nextUpdate + tolerance;
      const listed = entries.reasonOf(serial);
      const reason = isDelta && listed === REMOVED ? undefined : listed;
      if (reason !== undefined) {
        const answer = { state: 'revoked', why: `its revocation list says ${reasonName(reason)}` } as const;
        if (isCurrent) {
          return answer;
        }
        revokedByExpired.push({ signerKey, thisUpdate, answer });
      } else if (isDelta) {
        unknown = deltaList;
      } else if (isCurrent) {
        current.push({ signerKey, thisUpdate, reasons });
        until = Math.min(until, nextUpdate + tolerance);
        const isProof = mayProve(list, issuer);
        covered |= isProof ? reasons : 0;
        unknown = isProof ? unknown : lacksCrlSign;
      } else {
        unknown = expired;
      }
    }
    const standing = revokedByExpired.find((revoking) => {
      const newer = current.filter(
        ({ signerKey, thisUpdate }) => signerKey === revoking.signerKey && thisUpdate > revoking.thisUpdate,
      );
      return newer.reduce((all, { reasons }) => all | reasons, 0) !== ALL_REASONS;
    });
    if (standing !== undefined) {
      return standing.answer;
    }
    return covered === ALL_REASONS ? { state: 'good', until } : { state: 'unknown', ...unknown };
  }

  #explainNoList(certificate: PathCertificate): StatusReason {
    const points = this.#pointsOf(certificate);
    if (points.uris.length > 0) {
      return notFetched;
    }
    return points.isOver ? tooManyNames : namesNone;
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

/** Why lists are not about a certificate for every reason. */
function explainNotAbout({ isOver }: DistributionPoints): StatusReason {
  return isOver ? tooManyNames : notAboutIt;
}

function keyOf(issuer: PathCertificate, uri: string): string {
  return `${nameAuthority(issuer)} ${uri}`;
}

/**
 * Of what was fetched from one place for several authorities, the newest list by each key. Of two lists
 * of one time both count: one of them may revoke what the other one does not.
 */
function newestLists(fetched: readonly FetchedLists[]): readonly Crl[] {
  const lists = fetched.flatMap((one) => one.lists);
  const newest = new Map<string, number>();
  for (const { signerKey, thisUpdate } of lists) {
    newest.set(signerKey, Math.max(thisUpdate, newest.get(signerKey) ?? thisUpdate));
  }
  return lists.filter(({ signerKey, thisUpdate }) => thisUpdate === newest.get(signerKey));
}

function sizeOf({ value }: RefreshedValue<FetchedLists>): number {
  return (value?.lists ?? []).reduce((sum, { size }) => sum + size, 0);
}
