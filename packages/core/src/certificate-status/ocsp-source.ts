import type { PathCertificate } from '../chain/path-certificate.js';
import { redactUrl } from '../shared/shown-url.js';
import { authorityKeyOf } from './authority-key.js';
import { isWebUri } from './distribution-points.js';
import { KeptRecords } from './kept-records.js';
import { createCertificateId, createOcspRequest } from './ocsp-request.js';
import { type OcspAnswer, readOcspResponse } from './ocsp-response.js';
import { readResponders } from './point-names.js';
import { RefreshedValue } from './refreshed-value.js';
import type { StatusBody, StatusRequest } from './status-fetcher.js';
import {
  reasonAbout,
  reasonOfError,
  StatusError,
  type StatusReason,
  unexpected304,
} from './status-reason.js';
import type { QuotaOwner, SourceParts, StatusAnswer, StatusSource } from './status-source.js';

/** Certificates whose answers are kept. */
const MAX_ANSWERS = 10_000;

/** Responders of one certificate that are asked, one after the other. */
const MAX_RESPONDERS = 4;

/** Bytes. An answer with the certificate of its signer has a few thousand. */
const MAX_ANSWER_SIZE = 65_535;

/** Seconds for which an answer without nextUpdate is used at least: such an answer is made when asked for. */
const LEAST_AGE = 3_600;

/** 1.3.6.1.5.5.7.1.1 (RFC 5280 §4.2.2.1). */
const AUTHORITY_INFO_ACCESS = '2b06010505070101';

const namesNone: StatusReason = {
  code: 'not_published',
  why: 'it names no OCSP responder that can be asked',
};
const noAnswer: StatusReason = {
  code: 'unreachable',
  why: 'its OCSP responder did not answer in time',
};
const notKnown: StatusReason = {
  code: 'unknown_to_responder',
  why: 'its OCSP responder does not know it',
};
const expired: StatusReason = {
  code: 'outdated',
  why: 'the answer of its OCSP responder has expired',
};

/** What the responders of one certificate have answered. */
interface OcspAnswers {
  /** The newest answer that says good or revoked. */
  readonly decided: OcspAnswer | undefined;
  /** The newest answer that says that the responder does not know the certificate. */
  readonly unknown: OcspAnswer | undefined;
}

const noAnswers: OcspAnswers = { decided: undefined, unknown: undefined };

/** Asks the responders that certificates name (RFC 6960). */
export class OcspSource implements StatusSource {
  readonly #parts: SourceParts;
  /** Milliseconds for which an answer without nextUpdate is used. */
  readonly #maxAge: number;
  /** An answer is about the name and the key of the issuer: it counts for each certificate of the issuer. */
  readonly #answers = new KeptRecords<RefreshedValue<OcspAnswers>>({
    count: MAX_ANSWERS,
    bytes: Number.POSITIVE_INFINITY,
  });
  readonly #responders = new WeakMap<PathCertificate, readonly string[]>();

  constructor(parts: SourceParts) {
    this.#parts = parts;
    this.#maxAge = 1_000 * Math.max(LEAST_AGE, 2 * parts.settings.refreshInterval);
  }

  prepare(
    certificate: PathCertificate,
    issuer: PathCertificate,
    authority: QuotaOwner,
  ): Promise<void> | undefined {
    const responders = this.#respondersOf(certificate);
    return responders.length === 0
      ? undefined
      : this.#recordOf(certificate, issuer, responders, authority).use();
  }

  answer(certificate: PathCertificate, issuer: PathCertificate, now: number): StatusAnswer {
    if (this.#respondersOf(certificate).length === 0) {
      return { state: 'unknown', ...namesNone };
    }
    const records = this.#answers.ofAllOwners(keyOf(certificate, issuer));
    const value = currentOf(joinAnswers(records.flatMap((record) => record.value ?? [])));
    const failure = records.find((record) => record.failure !== undefined)?.failure;
    if (value === undefined) {
      return { state: 'unknown', ...(failure ?? noAnswer) };
    }
    // A revocation does not end with the validity of the answer that said so.
    if (value.state === 'revoked') {
      return { state: 'revoked', why: `its OCSP responder says ${value.reason}` };
    }
    const until = this.#until(value) + 1_000 * this.#parts.clockTolerance;
    if (value.state === 'unknown') {
      return { state: 'unknown', ...notKnown };
    }
    return now <= until ? { state: 'good', until } : { state: 'unknown', ...(failure ?? expired) };
  }

  close(): void {
    this.#answers.clear();
  }

  #recordOf(
    certificate: PathCertificate,
    issuer: PathCertificate,
    responders: readonly string[],
    authority: QuotaOwner,
  ): RefreshedValue<OcspAnswers> {
    const key = keyOf(certificate, issuer);
    const known = this.#answers.get(key, authority);
    if (known !== undefined) {
      return known;
    }
    const { settings, onChange, report } = this.#parts;
    // The certificate itself is not kept: there may be ten thousand.
    const id = createCertificateId(certificate, issuer);
    const record = new RefreshedValue<OcspAnswers>({
      ask: async (previous, urgency) => {
        let failure = namesNone;
        for (const url of responders) {
          const answer = await this.#ask(url, id, issuer, { authority: authority.name, urgency });
          if (!('why' in answer)) {
            return withAnswer(previous ?? noAnswers, answer);
          }
          failure = reasonAbout(`the OCSP responder ${redactUrl(url)}`, answer);
        }
        throw new StatusError(failure);
      },
      until: (answers) => {
        const current = currentOf(answers);
        return current === undefined ? Number.NEGATIVE_INFINITY : this.#until(current);
      },
      longestPause: settings.refreshInterval,
      onChange: () => {
        this.#answers.resize(key, record, 0);
        onChange();
      },
      onFailure: (why) => report('ocsp_unavailable', why),
    });
    // Also the answer about the authority's own certificate counts for that authority, not for the trust
    // anchor that issued the certificate: no other authority needs this answer.
    this.#answers.add(key, authority, record);
    return record;
  }

  async #ask(
    url: string,
    id: ReturnType<typeof createCertificateId>,
    issuer: PathCertificate,
    place: Pick<StatusRequest, 'authority' | 'urgency'>,
  ): Promise<OcspAnswer | StatusReason> {
    const { fetcher, settings, clockTolerance } = this.#parts;
    const request = createOcspRequest(id, settings.nonce);
    let answered: StatusBody | 'unchanged';
    try {
      answered = await fetcher.fetch(url, {
        ...place,
        accept: 'application/ocsp-response',
        maxSize: Math.min(MAX_ANSWER_SIZE, settings.maxSize),
        post: { type: 'application/ocsp-request', body: request.der },
      });
    } catch (error) {
      return reasonOfError(error);
    }
    if (answered === 'unchanged') {
      return unexpected304;
    }
    const now = Date.now();
    const tolerance = 1_000 * clockTolerance;
    const answer = await readOcspResponse(answered.body, { request, issuer, now, tolerance });
    const isOutdated =
      !('why' in answer) && answer.state !== 'revoked' && this.#until(answer) + tolerance < now;
    return isOutdated ? { code: 'outdated', why: 'its answer has expired' } : answer;
  }

  #until({ thisUpdate, nextUpdate }: OcspAnswer): number {
    return nextUpdate ?? thisUpdate + this.#maxAge;
  }

  #respondersOf(certificate: PathCertificate): readonly string[] {
    const known = this.#responders.get(certificate);
    if (known !== undefined) {
      return known;
    }
    const responders = respondersOf(certificate);
    this.#responders.set(certificate, responders);
    return responders;
  }
}

/** The responders that a certificate names and that can be asked. */
export function respondersOf({ extensions }: PathCertificate): readonly string[] {
  const access = extensions.get(AUTHORITY_INFO_ACCESS);
  const named = access === undefined ? [] : readResponders(access.value);
  return named.filter(isWebUri).slice(0, MAX_RESPONDERS);
}

/**
 * Adds an answer. An attacker on the way can repeat an old one: it does not replace a newer one. Of two
 * answers of the same time the one that revokes is kept.
 */
function withAnswer(known: OcspAnswers, answer: OcspAnswer): OcspAnswers {
  const part = answer.state === 'unknown' ? 'unknown' : 'decided';
  const before = known[part];
  return before !== undefined && !isNewer(answer, before) ? known : { ...known, [part]: answer };
}

function isNewer(answer: OcspAnswer, before: OcspAnswer): boolean {
  if (answer.thisUpdate !== before.thisUpdate) {
    return answer.thisUpdate > before.thisUpdate;
  }
  return (
    before.state !== 'revoked' && (answer.state !== before.state || answer.nextUpdate !== before.nextUpdate)
  );
}

/** Returns what counts. A responder that does not know a certificate takes no revocation back. */
function currentOf({ decided, unknown }: OcspAnswers): OcspAnswer | undefined {
  if (decided === undefined || unknown === undefined || decided.state === 'revoked') {
    return decided ?? unknown;
  }
  return unknown.thisUpdate > decided.thisUpdate ? unknown : decided;
}

/** Each authority that asked has answers of its own: the newest ones count. */
function joinAnswers(all: readonly OcspAnswers[]): OcspAnswers {
  return all
    .flatMap(({ decided, unknown }) => [decided, unknown].filter((one) => one !== undefined))
    .reduce<OcspAnswers>(withAnswer, noAnswers);
}

function keyOf(certificate: PathCertificate, issuer: PathCertificate): string {
  return `${authorityKeyOf(issuer)} ${certificate.thumbprint}`;
}
