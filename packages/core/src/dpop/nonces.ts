import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** Makes nonces for proofs and recognizes them later, without keeping any (RFC 9449 §8). */
export interface Nonces {
  /** The nonce for proofs that are made from now on. */
  latest(now: number): string;
  /**
   * Returns until when proofs with a nonce are accepted, in seconds since the epoch, if this process or
   * another one of the fleet has given it out. `undefined` for any other text, and for a nonce that is no
   * longer accepted.
   */
  acceptedUntil(nonce: string, now: number): number | undefined;
}

/** The time for which a nonce is accepted has this many slots. It is given out during the first of them. */
const SLOTS = 3;

/** Slots whose nonces are kept: those that are accepted at one moment, and one more. */
const MAX_SLOTS = SLOTS + 2;

/** Bytes of the slot's number: enough for slots of a second for 8,000 years. */
const NUMBER_LENGTH = 5;
/** Bytes: 128 bits can't be guessed. */
const CODE_LENGTH = 16;
const NONCE_LENGTH = NUMBER_LENGTH + CODE_LENGTH;

/**
 * Time is divided into slots. A nonce is the number of its slot with a code (HMAC-SHA256), which can't be
 * made without the secret.
 *
 * @param secrets the first one makes nonces; nonces of all of them are accepted
 * @param maxAge seconds for which a nonce is accepted from the start of its slot
 */
export function createNonces(secrets: readonly string[], maxAge: number): Nonces {
  const keys = secrets.map((secret) =>
    Buffer.from(hkdfSync('sha256', secret, '', 'mtls-bound dpop nonces', 32)),
  );
  const length = maxAge / SLOTS;
  const slotAt = (now: number): number => Math.floor(now / length);
  const made = new LRUCache<number, readonly Buffer[]>({ max: MAX_SLOTS });

  /** The nonces of a slot, one for each secret. */
  function noncesOf(slot: number): readonly Buffer[] {
    const nonces = made.get(slot) ?? keys.map((key) => nonceOf(key, slot));
    made.set(slot, nonces);
    return nonces;
  }

  return {
    latest(now) {
      const [nonce] = noncesOf(slotAt(now));
      return (nonce as Buffer).toString('base64url');
    },

    acceptedUntil(nonce, now) {
      const bytes = Buffer.from(nonce, 'base64url');
      if (bytes.length !== NONCE_LENGTH || bytes.toString('base64url') !== nonce) {
        return undefined;
      }
      const slot = bytes.readUIntBE(0, NUMBER_LENGTH);
      const latest = slotAt(now);
      // One slot ahead: the clock of the process that gave it out may be ahead of this one's.
      const isInTime = slot > latest - SLOTS && slot <= latest + 1;
      if (!isInTime || !noncesOf(slot).some((known) => timingSafeEqual(known, bytes))) {
        return undefined;
      }
      return (slot + SLOTS) * length;
    },
  };
}

function nonceOf(key: Buffer, slot: number): Buffer {
  const bytes = Buffer.alloc(NONCE_LENGTH);
  bytes.writeUIntBE(slot, 0, NUMBER_LENGTH);
  const code = createHmac('sha256', key).update(bytes.subarray(0, NUMBER_LENGTH)).digest();
  code.copy(bytes, NUMBER_LENGTH, 0, CODE_LENGTH);
  return bytes;
}
