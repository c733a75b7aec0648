import { createHash, X509Certificate } from 'node:crypto';
import { isUint8Array } from 'node:util/types';
import { TellableError } from '../errors.js';
import type { NodeRequest } from '../request/node-request.js';
import type { Hint } from '../shared/hint.js';

/**
 * The `x5t#S256` of a certificate: base64url of the SHA-256 of its DER, 43 characters (RFC 8705
 * §3.1). The whole certificate counts, so a renewed certificate has another thumbprint even when
 * its key stays.
 */
export function thumbprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url');
}

/**
 * Found on the certificates of every copy of this package: says what an object is, and proves
 * nothing.
 */
const anyCopy = Symbol.for('mtls-bound.ClientCertificate');

/** How many certificates of a chain are kept besides the client's own. Chains in use have two or three. */
export const MAX_INTERMEDIATES = 10;

/** What is known of a certificate apart from its bytes. */
export interface CertificateFacts {
  /**
   * Whether TLS, here or at the proxy, verified the chain of the certificate; `undefined` if that
   * is unknown.
   */
  readonly verified?: boolean | undefined;
  /** Why `verified` is false, for the operator: nothing is decided by this text. Default: not known. */
  readonly verifyError?: string | undefined;
  /**
   * Whether the verdict says that the certificate is revoked, or that its revocation could not be looked
   * up. If true, `certificatePolicy.authorities` refuses the certificate, and so does each rule by names.
   * Set `false` next to `verified: false` only if the verdict is known to be about something else, such
   * as an unknown authority. Default: true if `verified` is false, as the reason is not known.
   */
  readonly mayBeRevoked?: boolean | undefined;
  /**
   * The certificates that came with it, DER, of which `certificatePolicy.authorities` builds its path;
   * the first 10 count. They are the client's word, and prove nothing by themselves. A function is
   * called when they are first needed. Default: none.
   */
  readonly intermediates?: readonly Uint8Array[] | (() => readonly Uint8Array[]) | undefined;
}

/** The certificate that the client proved to hold in the TLS handshake. Frozen. */
export class ClientCertificate {
  /** `x5t#S256` (RFC 8705 §3.1). */
  readonly thumbprint: string;
  /**
   * Whether TLS, here or at the proxy, or `certificatePolicy.authorities` verified the chain of the
   * certificate; `undefined` if that is unknown.
   */
  readonly verified: boolean | undefined;
  /**
   * Why `verified` is false, in the words of TLS or of the proxy; undefined when it is not, and
   * when no reason is known.
   */
  readonly verifyError: string | undefined;
  /**
   * Whether the verdict of TLS or of the proxy says that the certificate is revoked, or leaves that open.
   * `certificatePolicy.authorities` then refuses the certificate. False if `verified` is not false,
   * unless the source says otherwise.
   */
  readonly mayBeRevoked: boolean;
  // Requests share this object, so its bytes are handed out as copies alone.
  readonly #der: Uint8Array | undefined;
  #intermediates: CertificateFacts['intermediates'];

  /** @param from the DER, or the thumbprint where no more is known */
  constructor(from: Uint8Array | { readonly thumbprint: string }, facts: CertificateFacts = {}) {
    // Of any realm: Node's own bytes are no instances of a vm context's Uint8Array.
    this.#der = isUint8Array(from) ? Uint8Array.from(from) : undefined;
    this.thumbprint = this.#der === undefined ? givenThumbprint(from) : thumbprintOf(this.#der);
    this.verified = Object.hasOwn(facts, 'verified') ? givenVerdict(facts.verified) : undefined;
    this.verifyError = Object.hasOwn(facts, 'verifyError') ? facts.verifyError : undefined;
    const mayBeRevoked: unknown = Object.hasOwn(facts, 'mayBeRevoked') ? facts.mayBeRevoked : undefined;
    this.mayBeRevoked = mayBeRevoked === undefined ? this.verified === false : mayBeRevoked !== false;
    this.#intermediates = Object.hasOwn(facts, 'intermediates') ? facts.intermediates : undefined;
    Object.freeze(this);
  }

  /**
   * Returns whether this class made `value`. False for an object that only inherits from one. Never
   * throws.
   */
  static isCertificate(value: unknown): value is ClientCertificate {
    return typeof value === 'object' && value !== null && #der in value;
  }

  /**
   * Returns `value` if this class made it. What another copy of this package made is made again
   * here, from its bytes or, without them, from its thumbprint. Returns `undefined` for everything
   * else.
   */
  static from(value: unknown): ClientCertificate | undefined {
    if (ClientCertificate.isCertificate(value)) {
      return value;
    }
    if (typeof value !== 'object' || value === null || !(anyCopy in value)) {
      return undefined;
    }
    const { der, thumbprint, verified, verifyError, mayBeRevoked, intermediates } =
      value as Partial<ClientCertificate>;
    const facts = {
      verified: typeof verified === 'boolean' ? verified : undefined,
      verifyError: typeof verifyError === 'string' ? verifyError : undefined,
      mayBeRevoked,
      intermediates: Array.isArray(intermediates) ? intermediates : undefined,
    };
    if (isUint8Array(der)) {
      return new ClientCertificate(der, facts);
    }
    const isHashAlone = der === undefined && typeof thumbprint === 'string' && /^[\w-]{43}$/.test(thumbprint);
    return isHashAlone ? new ClientCertificate({ thumbprint }, facts) : undefined;
  }

  static {
    Object.defineProperty(ClientCertificate.prototype, anyCopy, { value: true });
  }

  /**
   * The certificate as received, ASN.1 DER; undefined where a proxy hands on its hash alone. Each
   * access gives a copy: to write into it changes no other request's certificate.
   */
  get der(): Uint8Array | undefined {
    return this.#der && Uint8Array.from(this.#der);
  }

  /**
   * The certificates that came with it, DER: what the client sent in the handshake, as far as the
   * source hands it on. At most 10, the issuer of this one first. They are not verified.
   */
  get intermediates(): readonly Uint8Array[] {
    if (typeof this.#intermediates === 'function') {
      this.#intermediates = this.#intermediates();
    }
    const given: readonly unknown[] = this.#intermediates ?? [];
    return given
      .filter(isUint8Array)
      .slice(0, MAX_INTERMEDIATES)
      .map((der) => Uint8Array.from(der));
  }

  /**
   * The X.509 view. Each access parses the certificate, so keep what you get. Throws `TypeError`
   * where the DER is not known, and Node's error where it is no X.509 certificate.
   */
  get x509(): X509Certificate {
    if (this.#der === undefined) {
      throw new TellableError("the proxy hands on the certificate's hash alone");
    }
    return new X509Certificate(this.#der);
  }

  /** A certificate holds personal data; what is logged as JSON is its thumbprint alone. */
  toJSON(): { thumbprint: string } {
    return { thumbprint: this.thumbprint };
  }
}

/** Throws for any other type: code that compares with `false` would miss a bad verdict given as `'false'`. */
function givenVerdict(verified: unknown): boolean | undefined {
  if (verified !== undefined && typeof verified !== 'boolean') {
    const got = verified === null ? 'null' : `a ${typeof verified}`;
    throw new TellableError(
      `ClientCertificate: expected true, false or undefined as \`verified\`, got ${got}`,
    );
  }
  return verified;
}

function givenThumbprint(from: unknown): string {
  const { thumbprint } = (typeof from === 'object' && from !== null ? from : {}) as { thumbprint?: unknown };
  if (typeof thumbprint !== 'string' || !/^[\w-]{43}$/.test(thumbprint)) {
    throw new TellableError(
      'a ClientCertificate is made of its DER, a Uint8Array, or of { thumbprint }, 43 characters',
    );
  }
  return thumbprint;
}

/**
 * Where the client certificate comes from. Returns `undefined` when the client sent none, and
 * throws `RequestRefused` for one that is malformed: that is never "no certificate".
 */
export interface CertificateSource {
  (req: NodeRequest): ClientCertificate | undefined;
  /**
   * Where certificates come from, in words for operators. Default: said by `header` and
   * `fromConnection`.
   */
  readonly description?: string;
  /**
   * The header that the certificate comes from: answers chosen by it say so in `Vary` (RFC 9440
   * §2.4).
   */
  readonly header?: string;
  /** The header of the proxy's verdict, where one counts. */
  readonly verifyHeader?: string | undefined;
  /** The header of the intermediates, where one counts. */
  readonly chainHeader?: string | undefined;
  /** The header of the secret that proxy and API share; its value is never shown. */
  readonly secretHeader?: string | undefined;
  /** False when this source can never say whether a certificate is verified. */
  readonly knowsVerified?: boolean;
  /**
   * True when this source knows the certificate's thumbprint alone, as from a proxy that hands on a
   * hash: a `certificatePolicy` that needs the whole certificate is then refused at start-up.
   */
  readonly thumbprintOnly?: boolean;
  /**
   * True when it is the certificate of the connection itself, whose address then is the client's
   * too. False when a proxy ends TLS. A function that says neither this nor `header`: `profile`
   * checks the TLS of its connections, and the flood guard does not count their addresses.
   */
  readonly fromConnection?: boolean;
  /**
   * Returns what to wait for before this source is called for a request; `undefined` if there is nothing.
   * Rejects with `RequestRefused` if the source can't be used: the request is answered with 503. A source
   * that wraps another one must have its `prepare`. `now` in milliseconds since the epoch. Default: there
   * is nothing to wait for.
   */
  readonly prepare?: (now: number) => Promise<unknown> | undefined;
  /**
   * For a request without certificate: the most likely cause as a code, and in words that say how
   * to fix it. The code `proxy_not_trusted` says that the header of an untrusted peer was ignored, and
   * `reason` which condition the peer does not meet.
   */
  readonly explainMissing?: (req: NodeRequest) => Hint;
}
