import { createSeal, type Seal } from '../shared/sealing.js';

/**
 * What the header of a log says, a sealed record at its head that is replaced at each loss. Times in
 * milliseconds since the epoch.
 */
export interface LogHeader {
  /** Stays when `completeSince` changes. */
  readonly id: string;
  /** The log has all revocations since then. */
  readonly completeSince: number;
  /** Greater than that of each header before: an older header that is put back is noticed. */
  readonly version: number;
}

/** As the first versions sealed it: a fleet that is updated opens its header. */
const HEADER_SEAL = 'revocation-log-name';
/** What entries of the log are sealed under. */
export const ENTRY_SEAL = 'revocation-log-entry';

/** Seals entries and headers for one log, and opens what one of the secrets sealed for it. */
export class LogSeals {
  readonly #entrySeal: string;
  readonly #headerSeal: string;
  readonly #seals: readonly [Seal, ...Seal[]];

  /**
   * @param secrets the first seals; each opens
   * @param logId names the log; undefined where entries of all logs are believed
   */
  constructor(secrets: readonly string[], logId: string | undefined) {
    const [first = '', ...others] = secrets;
    const place = logId === undefined ? '' : ` ${logId}`;
    this.#entrySeal = `${ENTRY_SEAL}${place}`;
    this.#headerSeal = `${HEADER_SEAL}${place}`;
    this.#seals = [createSeal(first, ENTRY_SEAL), ...others.map((secret) => createSeal(secret, ENTRY_SEAL))];
  }

  sealEntry(text: string): string {
    return this.#seals[0].seal(this.#entrySeal, text);
  }

  /** Returns the text of an entry, or `undefined` if no secret here sealed it for this log. */
  openEntry(sealed: string): string | undefined {
    return this.#opened(this.#entrySeal, sealed);
  }

  sealHeader(header: LogHeader): string {
    return this.#seals[0].seal(this.#headerSeal, JSON.stringify(header));
  }

  /** Returns what a header says, or `undefined` if no secret here sealed it for this log. */
  openHeader(sealed: string | undefined): LogHeader | undefined {
    const text = this.#opened(this.#headerSeal, sealed);
    return text === undefined ? undefined : (JSON.parse(text) as LogHeader);
  }

  /** Whether a header was sealed by the first secret, which is the newest. */
  isHeaderOfFirstSecret(sealed: string | undefined): boolean {
    return this.#seals[0].open(this.#headerSeal, sealed) !== undefined;
  }

  /** The version of a header; 0 if no secret here sealed it. */
  versionOf(sealed: string | undefined): number {
    return this.openHeader(sealed)?.version ?? 0;
  }

  #opened(name: string, sealed: string | undefined): string | undefined {
    for (const seal of this.#seals) {
      const text = seal.open(name, sealed);
      if (text !== undefined) {
        return text;
      }
    }
    return undefined;
  }
}
