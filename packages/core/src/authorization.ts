import type { ClientCertificate } from './certificate/client-certificate.js';
import type { TokenClaims } from './token-claims.js';

/** What a request was let in with: `req.auth` in Express, `ctx.state.auth` in Koa. Frozen. */
export class Authorization {
  /** Whose authorization server vouches for the token; `subject` is unique within it alone (RFC 7519 §4.1.2). */
  readonly issuer: string;
  /** `sub`: the end-user, or the client itself where no user is involved (RFC 9068 §5). */
  readonly subject: string | undefined;
  /** `client_id`: the client that the token was issued to. */
  readonly clientId: string | undefined;
  /** `scope`, one by one; empty where the token names none. */
  readonly scopes: readonly string[];
  /** `exp`; a `Date` of this request's own. */
  readonly expiresAt: Date | undefined;
  /** Every claim as the authorization server gave it, deeply frozen. May be personal data (RFC 7662 §5). */
  readonly claims: Readonly<Record<string, unknown>>;
  /**
   * Undefined only where `binding` is not `required`, and the client sent none or, with `report`, one that can't be
   * read.
   */
  readonly certificate: ClientCertificate | undefined;
  /** Whether the token is bound to the certificate; false only where `binding` is not `required`. */
  readonly isBound: boolean;

  constructor(token: TokenClaims, certificate: ClientCertificate | undefined, isBound: boolean) {
    this.issuer = token.issuer;
    this.subject = token.subject;
    this.clientId = token.clientId;
    this.scopes = token.scopes;
    this.expiresAt = token.expiresAt === undefined ? undefined : new Date(token.expiresAt * 1000);
    this.claims = token.claims;
    this.certificate = certificate;
    this.isBound = isBound;
    Object.freeze(this);
  }
}

/** Of who got past a policy for certificates: there is one. */
export type HasCertificate = Authorization & { readonly certificate: ClientCertificate };

/** Of who got past a policy for claims: these are there. */
export type HasClaims<Claims> = Authorization & { readonly claims: Readonly<Claims> };
