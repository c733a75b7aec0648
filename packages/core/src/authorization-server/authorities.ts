import type { Asked } from '../cache/token-cache.js';
import { RequestRefused } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import type { ClaimRules } from '../policy/claims.js';
import type { NodeRequest } from '../request/bearer-token.js';
import type { IssuerSelection } from '../request/issuer-selection.js';
import type { TokenAnswer, TokenReader } from '../token-claims.js';
import type { ClientAuthentication } from './client-authentication.js';
import { createHttp, type HttpRules } from './http.js';
import type { TokenSource } from './introspection.js';
import { discoveredMetadata, givenMetadata, type MetadataRules } from './metadata.js';
import { issuerNamedIn } from './named-issuer.js';

/** An authorization server whose tokens are accepted. */
export interface Authority {
  /** What its tokens must show. */
  readonly rules: ClaimRules;
  readonly read: TokenReader;
}

export interface AuthorityOptions extends MetadataRules, ClaimRules {
  readonly client: { readonly authentication: ClientAuthentication } | undefined;
  readonly requireClient: () => { readonly id: string; readonly authentication: ClientAuthentication };
  readonly tokens: TokenSource;
  readonly http: HttpRules;
  /** Whether tokens must be bound: a server that may issue others is worth a warning (RFC 8705 §3.3). */
  readonly mustBind: boolean;
}

/** Nothing is asked of the server yet. Throws `ConfigurationError` where its token source lacks something. */
export function createAuthority(options: AuthorityOptions, report: ReportProblem): Authority {
  const { issuer, audience, clockTolerance, client, requireClient, mustBind } = options;
  const http = createHttp(options.http, client?.authentication.identity);
  const metadata =
    givenMetadata(options) ??
    discoveredMetadata(options, http, (server) => {
      if (mustBind && server.tls_client_certificate_bound_access_tokens !== true) {
        report(
          'tokens_may_be_unbound',
          `${issuer} does not say tls_client_certificate_bound_access_tokens: true (RFC 8705 §3.3); ` +
            'tokens that it does not bind to a certificate are refused',
        );
      }
    });
  const access = { issuer, audience, clockTolerance, client: requireClient, metadata, http };
  return Object.freeze({ rules: { issuer, audience, clockTolerance }, read: options.tokens(access) });
}

/** Finds whom to ask about a token. Throws `RequestRefused` for one that is meant for none of them. */
export type Chooser = (token: string, req: NodeRequest) => Asked;

/**
 * A token goes to no server but the one it is meant for: the one in a JWT's `iss`, else the selected one. Only where the
 * user asked for it are they asked in order.
 */
export function chooserAmong(
  authorities: readonly Authority[],
  selection: IssuerSelection | undefined,
): Chooser {
  const [first, ...others] = authorities;
  if (first !== undefined && others.length === 0) {
    const only = { id: '', read: first.read };
    return () => only;
  }
  const byIssuer = new Map(authorities.map(({ rules, read }) => [rules.issuer, { id: rules.issuer, read }]));
  const inOrder = { id: 'in-order', read: (token: string) => askInOrder(authorities, token) };
  return (token, req) => {
    const named = issuerNamedIn(token);
    if (selection === 'in-order' && named === undefined) {
      return inOrder;
    }
    const selected = typeof selection === 'function' ? selection(req) : undefined;
    if (selected !== undefined && !byIssuer.has(selected)) {
      throw new TypeError('the option selectIssuer named an issuer that is not among issuers');
    }
    const chosen = byIssuer.get(named ?? selected ?? '');
    if (chosen === undefined || chosen.id !== (selected ?? chosen.id)) {
      throw new RequestRefused('token_wrong_issuer', { detail: why(named, selected) });
    }
    return chosen;
  };
}

/** The first that knows the token. Where one could not be asked, nobody can say that none does. */
async function askInOrder(authorities: readonly Authority[], token: string): Promise<TokenAnswer> {
  let trouble: unknown;
  for (const { read } of authorities) {
    try {
      const answer = await read(token);
      if (typeof answer !== 'string') {
        return answer;
      }
    } catch (error) {
      trouble ??= error;
    }
  }
  if (trouble !== undefined) {
    throw trouble;
  }
  return 'token_inactive';
}

/** A token may name what it likes: only names of our own configuration are told. */
function why(named: string | undefined, selected: string | undefined): string {
  if (selected !== undefined) {
    return `selectIssuer named ${selected}, the token's iss another`;
  }
  return named === undefined
    ? 'the token names no issuer, and the option selectIssuer named none'
    : "the token's iss is not among issuers";
}
