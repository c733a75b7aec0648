import { createHash, X509Certificate } from 'node:crypto';
import { isUint8Array } from 'node:util/types';
import type { NodeRequest } from '../request/bearer-token.js';

/**
 * The `x5t#S256` of a certificate: base64url of the SHA-256 of its DER, 43 characters (RFC 8705 §3.1). The whole
 * certificate counts, so a renewed certificate has another thumbprint even when its key stays.
 */
export function thumbprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url');
}

/** Found on the certificates of every copy of this package: says what an object is, and proves nothing. */
const anyCopy = Symbol.for('mtls-bound.ClientCertificate');

/** What is known of a certificate beside its bytes. */
export interface CertificateFacts {
  /** Whether TLS, here or at the proxy, found the certificate's chain trusted; undefined when nobody said. */
  readonly verified?: boolean | undefined;
}

/** The certificate that the client proved to hold in the TLS handshake. Frozen. */
export class ClientCertificate {
  /** The certificate as received, ASN.1 DER; undefined where a proxy hands on its hash alone. */
  readonly der: Uint8Array | undefined;
  /** `x5t#S256` (RFC 8705 §3.1). */
  readonly thumbprint: string;
  /** Whether TLS, here or at the proxy, found the certificate's chain trusted; undefined when nobody said. */
  readonly verified: boolean | undefined;
  #x509: X509Certificate | undefined;

  /** @param from the DER, or the thumbprint where no more is known */
  constructor(from: Uint8Array | { readonly thumbprint: string }, { verified }: CertificateFacts = {}) {
    // Of any realm: Node's own bytes are no instances of a vm context's Uint8Array.
    this.der = isUint8Array(from) ? from : undefined;
    this.thumbprint = isUint8Array(from) ? thumbprintOf(from) : from.thumbprint;
    this.verified = verified;
    Object.freeze(this);
  }

  /** Returns whether this class made `value`. False for an object that only inherits from one. Never throws. */
  static isCertificate(value: unknown): value is ClientCertificate {
    return typeof value === 'object' && value !== null && #x509 in value;
  }

  /**
   * Returns `value` if this class made it. What another copy of this package made is made again here, from its bytes or, without
   * them, from its thumbprint. Returns `undefined` for everything else.
   */
  static from(value: unknown): ClientCertificate | undefined {
    if (ClientCertificate.isCertificate(value)) {
      return value;
    }
    if (typeof value !== 'object' || value === null || !(anyCopy in value)) {
      return undefined;
    }
    const { der, thumbprint, verified } = { ...(value as Partial<ClientCertificate>) };
    const facts = { verified: typeof verified === 'boolean' ? verified : undefined };
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
   * The X.509 view, parsed when first asked for: the binding needs the DER alone. Throws when the DER is no X.509
   * certificate, or is not known.
   */
  get x509(): X509Certificate {
    if (this.der === undefined) {
      throw new TypeError("the proxy hands on the certificate's hash alone");
    }
    this.#x509 ??= new X509Certificate(this.der);
    return this.#x509;
  }

  /** A certificate holds personal data; what is logged as JSON is its thumbprint alone. */
  toJSON(): { thumbprint: string } {
    return { thumbprint: this.thumbprint };
  }
}

/**
 * Where the client certificate comes from. Returns `undefined` when the client sent none, and throws
 * `RequestRefused` for one that is malformed: that is never "no certificate".
 */
export interface CertificateSource {
  (req: NodeRequest): ClientCertificate | undefined;
  /** The header that the certificate comes from: answers chosen by it say so in `Vary` (RFC 9440 §2.4). */
  readonly header?: string;
  /** The header of the proxy's verdict, where one counts. */
  readonly verifyHeader?: string | undefined;
  /** The header of the secret that proxy and API share; its value is never shown. */
  readonly secretHeader?: string | undefined;
  /** False when this source can never say whether a certificate is verified. */
  readonly knowsVerified?: boolean;
  /** True when it is the certificate of the connection itself, whose address then is the client's too. */
  readonly fromConnection?: boolean;
  /** For a request without certificate: what that most likely comes from, and who can mend it. */
  readonly whyMissing?: (req: NodeRequest) => string;
}
