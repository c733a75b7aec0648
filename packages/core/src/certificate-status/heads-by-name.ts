import type { CrlHead } from './crl.js';
import { readComparableName } from './subject-name.js';

/**
 * The revocation lists of files, found by the name of their issuer in any spelling that counts as equal
 * (RFC 5280 §7.1). Each name is parsed once, however often its lists change. Needs `x509.load()`.
 */
export class HeadsByName {
  #heads: Iterable<CrlHead>;
  /** By the comparable name. Undefined until it is needed: `x509` may not be loaded before. */
  #found: Map<string, CrlHead[]> | undefined;
  /** The comparable name of each name, by its bytes. */
  #names = new Map<string, string | undefined>();

  constructor(heads: Iterable<CrlHead>) {
    this.#heads = heads;
  }

  /** Replaces all lists by other ones. */
  replace(heads: Iterable<CrlHead>): void {
    this.#heads = heads;
    this.#found = undefined;
    // Names of lists that are no longer there are forgotten.
    const bytes = new Set([...heads].map(bytesOf));
    this.#names = new Map([...this.#names].filter(([name]) => bytes.has(name)));
  }

  /** The lists of an issuer, by its `subjectName`. */
  of(name: string): readonly CrlHead[] {
    this.#found ??= this.#find();
    return this.#found.get(name) ?? [];
  }

  /** The comparable names of the issuers of lists. */
  namesOf(heads: Iterable<CrlHead>): ReadonlySet<string> {
    return new Set([...heads].map((head) => this.nameOf(head)).filter((name) => name !== undefined));
  }

  #find(): Map<string, CrlHead[]> {
    const found = new Map<string, CrlHead[]>();
    for (const head of this.#heads) {
      const name = this.nameOf(head);
      if (name !== undefined) {
        const ofName = found.get(name) ?? [];
        ofName.push(head);
        found.set(name, ofName);
      }
    }
    return found;
  }

  /** The comparable name of the issuer of a list; `undefined` if no certificate of a path has its name. */
  nameOf(head: Pick<CrlHead, 'issuer'>): string | undefined {
    const bytes = bytesOf(head);
    if (!this.#names.has(bytes)) {
      this.#names.set(bytes, readComparableName(head.issuer));
    }
    return this.#names.get(bytes);
  }
}

function bytesOf({ issuer }: Pick<CrlHead, 'issuer'>): string {
  return Buffer.from(issuer.buffer, issuer.byteOffset, issuer.length).toString('latin1');
}
