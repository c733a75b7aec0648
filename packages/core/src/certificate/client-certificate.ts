import { createHash, X509Certificate } from 'node:crypto';
import type { NodeRequest } from '../request/bearer-token.js';

/**
 * The `x5t#S256` of a certificate: base64url of the SHA-256 of its DER, 43 characters (RFC 8705 §3.1). The whole
 * certificate counts, so a renewed certificate has another thumbprint even when its key stays.
 */
export function thumbprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url');
}

/** The certificate that the client proved to hold in the TLS handshake. Frozen. */
export class ClientCertificate {
  /** The certificate as received, ASN.1 DER. */
  readonly der: Uint8Array;
  /** `x5t#S256` (RFC 8705 §3.1). */
  readonly thumbprint: string;
  #x509: X509Certificate | undefined;

  constructor(der: Uint8Array) {
    this.der = der;
    this.thumbprint = thumbprintOf(der);
    Object.freeze(this);
  }

  /**
   * The X.509 view, parsed when first asked for: the binding needs the DER alone. Throws when the DER is no X.509
   * certificate.
   */
  get x509(): X509Certificate {
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
export type CertificateSource = (req: NodeRequest) => ClientCertificate | undefined;
