import type { DpopProof } from '../dpop/proof.js';

/** What a request shows to prove possession. */
export interface Possession {
  /** `x5t#S256` of the client's certificate; `undefined` if the request has none. */
  readonly thumbprint: string | undefined;
  /**
   * The DPoP proof of the request. Undefined if its token came under another scheme. With
   * `binding: 'report'` also if the proof was refused and only reported, and if the request is checked
   * again and its proof was not used up.
   */
  readonly proof: DpopProof | undefined;
}

/** A way in which `cnf` binds a token (RFC 7800 §3.1), and how a request proves it. */
export interface ConfirmationMethod {
  /** The member of `cnf`. */
  readonly member: string;
  /**
   * Returns if the request proves possession. Throws `RequestRefused` otherwise.
   *
   * @param expected the value in `cnf`, of any type
   */
  verifyPossession(expected: unknown, possession: Possession): void;
}
