import { X509Certificate } from 'node:crypto';
import { x509 } from '../certificate/lazy-x509.js';
import { isTellable, RequestRefused, TellableError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { readFileOrExplain, readFileSyncOrExplain } from '../shared/file-error.js';
import { createMismatch } from '../shared/option-errors.js';
import type { OptionRule } from '../shared/option-rules.js';
import { readPemCertificates } from '../shared/pem-certificates.js';
import { describeError } from '../shared/shown-error.js';
import { SingleReading } from '../shared/single-reading.js';
import { withTimeLimit } from '../shared/time-limit.js';
import { pathExtensionIds, readKeyUsage } from './extension-values.js';
import { type CertificatesBySubject, groupBySubject } from './path-building.js';
import { readParsableFields, readPathCertificate } from './path-certificate.js';
import { readAuthorityLimits } from './path-validation.js';

/** PEM texts and paths of files. */
type Texts = string | readonly string[];

/**
 * Certificates of authorities: PEM, or the path of a file of PEM certificates, or a list of these; or
 * a function that returns PEM or a promise of it.
 */
export type Authorities = Texts | (() => Texts | Promise<Texts>);

export const authoritiesRule: OptionRule<Authorities> = {
  accepted: 'PEM certificates of authorities, the path of a file of them, a list of these, or a function',
  read: (given) => (typeof given === 'function' || isTexts(given) ? (given as Authorities) : undefined),
};

function isTexts(given: unknown): given is Texts {
  const list: unknown[] = Array.isArray(given) ? given : [given];
  return list.length > 0 && list.every((item) => typeof item === 'string' && item !== '');
}

/** Seconds after which files are read again, or the function is called again, in the background. */
const CHECK_AGAIN = 10;

/**
 * Seconds after which a request waits for the new reading: an authority that was removed while no
 * request came is not trusted once more.
 */
const TOO_OLD = 60;

/** Seconds that files, or the function of a user, may take. */
const TIMEOUT = 5;

/** Certificates of authorities. National trust lists have a few hundred. */
const MAX_AUTHORITIES = 5_000;

/**
 * The certificates of authorities, kept as new as their files or their function are. If these fail,
 * the ones that were read last still count, and the problem `authorities_unreadable` says so.
 */
export class AuthoritySource {
  readonly #given: Authorities;
  readonly #optionPath: string;
  readonly #report: ReportProblem;
  readonly #acceptsCrlSigners: boolean;
  #texts: readonly string[] | undefined;
  #current: CertificatesBySubject | undefined;
  #checkedAt = 0;
  #checking: Promise<void> | undefined;
  readonly #files = new SingleReading();
  /** Goes up when the certificates change. */
  generation = 0;

  /**
   * Throws `ConfigurationError` for a file that can't be read, and for what is no certificate of an
   * authority.
   *
   * @param optionPath the option's name, for errors
   * @param acceptsCrlSigners also certificates that may only sign the revocation lists of an authority
   */
  constructor(given: Authorities, optionPath: string, report: ReportProblem, acceptsCrlSigners = false) {
    this.#given = given;
    this.#optionPath = optionPath;
    this.#report = report;
    this.#acceptsCrlSigners = acceptsCrlSigners;
    if (typeof given !== 'function') {
      try {
        this.#use(
          listOf(given).map((item) => (isPem(item) ? item : readFileSyncOrExplain(item).toString('latin1'))),
        );
      } catch (error) {
        throw createMismatch(optionPath, authoritiesRule.accepted, `something else: ${explain(error)}`);
      }
    }
  }

  /** The certificates, by subject. Call it after `prepare()`. Needs `x509.load()`. */
  current(): CertificatesBySubject {
    if (this.#texts === undefined) {
      throw new RequestRefused('internal_error', { detail: `${this.#optionPath} gave no certificates` });
    }
    this.#current ??= parsedAuthorities(this.#texts);
    return this.#current;
  }

  /**
   * Returns what to wait for before `current()`; `undefined` if there is nothing. Rejects with
   * `RequestRefused` if there are no certificates yet.
   */
  prepare(now: number): Promise<void> | undefined {
    const isConstant = typeof this.#given !== 'function' && listOf(this.#given).every(isPem);
    const age = Math.abs(now - this.#checkedAt) / 1000;
    if (isConstant || (this.#texts !== undefined && age < CHECK_AGAIN)) {
      return undefined;
    }
    this.#checking ??= this.#check(now);
    return this.#texts === undefined || age > TOO_OLD ? this.#checking : undefined;
  }

  async #check(now: number): Promise<void> {
    const given = this.#given;
    try {
      if (typeof given === 'function') {
        await this.#replace(await callFunction(given));
      } else {
        await this.#files.run(TIMEOUT, async () => this.#replace(await readTexts(given)));
      }
    } catch (error) {
      this.#report('authorities_unreadable', `${this.#optionPath} can not be read again: ${explain(error)}`);
      if (this.#texts === undefined) {
        throw new RequestRefused('internal_error', { detail: `${this.#optionPath} gave no certificates` });
      }
    } finally {
      this.#checkedAt = now;
      this.#checking = undefined;
    }
  }

  async #replace(texts: readonly string[]): Promise<void> {
    await x509.load();
    this.#use(texts, parsedAuthorities);
  }

  /**
   * Replaces the certificates if the texts have changed. Throws, and keeps the old ones, if a text has no
   * certificate, an unreadable one, or one that is not an authority's. Without `parse`, as the library is
   * not loaded yet, the first call of `current()` parses them.
   */
  #use(texts: readonly string[], parse?: (texts: readonly string[]) => CertificatesBySubject): void {
    const isSame =
      this.#texts?.length === texts.length && texts.every((text, at) => text === this.#texts?.[at]);
    if (isSame) {
      return;
    }
    const certificates = texts.flatMap(readPemCertificates);
    if (certificates.length === 0 || certificates.length > MAX_AUTHORITIES) {
      throw new TellableError(`${certificates.length} certificates; accepted are 1 to ${MAX_AUTHORITIES}`);
    }
    const isAccepted = (der: Uint8Array): boolean =>
      new X509Certificate(der).ca || (this.#acceptsCrlSigners && signsLists(der));
    const other = certificates.find((der) => !isAccepted(der));
    if (other !== undefined) {
      const { subject } = new X509Certificate(other);
      throw new TellableError(`the certificate of ${JSON.stringify(subject)} is not that of an authority`);
    }
    const unreadable = certificates.map(readParsableFields).find((fields) => typeof fields === 'string');
    if (unreadable !== undefined) {
      throw new TellableError(`a certificate of the authorities: ${unreadable}`);
    }
    // All that may throw comes first: the old set stays as a whole.
    const current = parse?.(texts);
    this.#texts = [...texts];
    this.#current = current;
    this.generation += 1;
  }
}

async function callFunction(give: () => Texts | Promise<Texts>): Promise<readonly string[]> {
  const texts: unknown = await withTimeLimit(TIMEOUT, give);
  if (!isTexts(texts)) {
    throw new TellableError('the function returned neither PEM nor a list of it');
  }
  return listOf(texts);
}

/** Reads one file after the other: together they could hold all threads that Node has for files. */
async function readTexts(given: Texts): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const item of listOf(given)) {
    texts.push(isPem(item) ? item : (await readFileOrExplain(item)).toString('latin1'));
  }
  return texts;
}

/** Says what is wrong: an error of another package may quote what it read. */
function explain(error: unknown): string {
  return isTellable(error) ? error.message : describeError(error);
}

function listOf(texts: Texts): readonly string[] {
  return typeof texts === 'string' ? [texts] : texts;
}

function isPem(text: string): boolean {
  return text.includes('-----BEGIN ');
}

function signsLists(der: Uint8Array): boolean {
  const fields = readParsableFields(der);
  const usage = typeof fields === 'string' ? undefined : fields.allExtensions.get(pathExtensionIds.keyUsage);
  return usage !== undefined && readKeyUsage(usage.value)?.cRLSign === true;
}

function parsedAuthorities(texts: readonly string[]): CertificatesBySubject {
  return groupBySubject(texts.flatMap(readPemCertificates).map(parsedAuthority));
}

function parsedAuthority(der: Uint8Array) {
  const parsed = readPathCertificate(der);
  if (typeof parsed === 'string') {
    throw new RequestRefused('internal_error', { detail: `a certificate of the authorities: ${parsed}` });
  }
  // Now, as no client may have to wait for it: name constraints may take tens of milliseconds.
  readAuthorityLimits(parsed);
  return parsed;
}
