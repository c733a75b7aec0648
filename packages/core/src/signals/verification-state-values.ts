import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * The values of `state` in requests for a verification event (SSF 1.0 §8.1.4.2). Each shows that a
 * receiver with the same options made it: in a fleet the event may arrive at another process than
 * the one that asked for it. Without a secret among these options anyone who knows them can make such
 * a value, so that it proves nothing.
 */
export class VerificationStateValues {
  readonly #key: Buffer;

  /**
   * @param shared what all processes of a fleet have in common, and no other receiver; a secret among it
   * keeps other parties from making values
   */
  constructor(shared: readonly unknown[]) {
    this.#key = createHash('sha256').update(JSON.stringify(shared)).digest();
  }

  next(): string {
    const nonce = randomBytes(16).toString('base64url');
    return `${nonce}.${this.#seal(nonce)}`;
  }

  /** Returns whether `next()` of a receiver with the same options returned it. */
  isOurs(state: unknown): boolean {
    const [, nonce = '', seal = ''] =
      (typeof state === 'string' && /^([\w-]{22})\.([\w-]{43})$/.exec(state)) || [];
    return seal !== '' && timingSafeEqual(Buffer.from(seal), Buffer.from(this.#seal(nonce)));
  }

  #seal(nonce: string): string {
    return createHmac('sha256', this.#key).update(nonce).digest('base64url');
  }
}
