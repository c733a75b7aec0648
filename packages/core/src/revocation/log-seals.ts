import { createSeal, type Seal } from '../shared/sealing.js';

/** What the name of a log says. Times in milliseconds since the epoch. */
export interface LogName {
  /** Stays when `completeSince` changes. */
  readonly id: string;
  /** The log knows each revocation from then on. */
  readonly completeSince: number;
  /** Greater than that of each name before: an older name that is put back is noticed. */
  readonly version: number;
}

const NAME_SEAL = 'revocation-log-name';
/** What entries of the log are sealed under. */
export const ENTRY_SEAL = 'revocation-log-entry';

/** Seals entries and names for one log, and opens what one of the secrets sealed for it. */
export class LogSeals {
  readonly #entrySeal: string;
  readonly #nameSeal: string;
  readonly #seals: readonly [Seal, ...Seal[]];

  /**
   * @param secrets the first seals; each opens
   * @param logId names the log; undefined where entries of all logs are believed
   */
  constructor(secrets: readonly string[], logId: string | undefined) {
    const [first = '', ...others] = secrets;
    const place = logId === undefined ? '' : ` ${logId}`;
    this.#entrySeal = `${ENTRY_SEAL}${place}`;
    this.#nameSeal = `${NAME_SEAL}${place}`;
    this.#seals = [createSeal(first, ENTRY_SEAL), ...others.map((secret) => createSeal(secret, ENTRY_SEAL))];
  }

  sealEntry(text: string): string {
    return this.#seals[0].seal(this.#entrySeal, text);
  }

  /** Returns the text of an entry, or `undefined` if no secret here sealed it for this log. */
  openEntry(sealed: string): string | undefined {
    return this.#opened(this.#entrySeal, sealed);
  }

  sealName(name: LogName): string {
    return this.#seals[0].seal(this.#nameSeal, JSON.stringify(name));
  }

  /** Returns what a name says, or `undefined` if no secret here sealed it for this log. */
  openName(sealed: string | undefined): LogName | undefined {
    const text = this.#opened(this.#nameSeal, sealed);
    return text === undefined ? undefined : (JSON.parse(text) as LogName);
  }

  /** Whether a name was sealed by the first secret, which is the newest. */
  isNameOfFirstSecret(sealed: string | undefined): boolean {
    return this.#seals[0].open(this.#nameSeal, sealed) !== undefined;
  }

  /** The version of a name; 0 if no secret here sealed it. */
  versionOf(sealed: string | undefined): number {
    return this.openName(sealed)?.version ?? 0;
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
