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
  readonly scopes: readonly string[];
  /** `exp`; a `Date` of this request's own. */
  readonly expiresAt: Date | undefined;
  /** Every claim as the authorization server gave it, deeply frozen. May be personal data (RFC 7662 §5). */
  readonly claims: Readonly<Record<string, unknown>>;
  /** Undefined only where `binding` is `when-bound` and the client sent none. */
  readonly certificate: ClientCertificate | undefined;

  constructor(token: TokenClaims, certificate: ClientCertificate | undefined) {
    this.issuer = token.issuer;
    this.subject = token.subject;
    this.clientId = token.clientId;
    this.scopes = token.scopes;
    this.expiresAt = token.expiresAt === undefined ? undefined : new Date(token.expiresAt * 1000);
    this.claims = token.claims;
    this.certificate = certificate;
    Object.freeze(this);
  }
}
