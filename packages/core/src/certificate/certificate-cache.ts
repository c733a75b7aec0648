import { LRUCache } from 'lru-cache';
import type { ClientCertificate } from './client-certificate.js';

interface Entry {
  readonly value: string;
  readonly certificate: ClientCertificate;
}

/**
 * Certificates by the text of their header, which is 2 to 4 kB. To look such a text up in a Map is
 * to hash all of it, for it is a new string each time: most of what a request would cost. So a
 * piece of it leads to the entry, from near the end, where a certificate's signature is; then the
 * whole text must be equal.
 */
export class CertificateCache {
  readonly #entries: LRUCache<string, Entry>;
  /** The entry that was used last, which is the last to go: the next request often has the same text. */
  #last: Entry | undefined;

  constructor(max: number) {
    this.#entries = new LRUCache({ max });
  }

  get(value: string): ClientCertificate | undefined {
    if (this.#last?.value === value) {
      return this.#last.certificate;
    }
    const entry = this.#entries.get(pieceOf(value));
    if (entry?.value !== value) {
      return undefined;
    }
    this.#last = entry;
    return entry.certificate;
  }

  set(value: string, certificate: ClientCertificate): void {
    this.#last = { value, certificate };
    this.#entries.set(pieceOf(value), this.#last);
  }
}

/**
 * The last line of a PEM certificate is the same in all of them. Where a chain is behind the client's
 * certificate, the end is that of an authority, the same for many clients: so a piece of the
 * beginning, where a certificate's serial number is, counts too.
 */
function pieceOf(value: string): string {
  return value.length > 400 ? value.slice(30, 110) + value.slice(-140, -40) : value;
}
