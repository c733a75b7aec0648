import { Authorization } from './authorization.js';
import { type Authority, chooserAmong, createAuthority } from './authorization-server/authorities.js';
import { TokenCache } from './cache/token-cache.js';
import { ClientCertificate } from './certificate/client-certificate.js';
import { asRefusal, RequestRefused } from './errors.js';
import { problemReporter, publishRefused } from './observe/events.js';
import { type ResourceServerOptions, resolveSettings } from './options.js';
import { checkBinding } from './policy/binding.js';
import { checkClaims } from './policy/claims.js';
import type { RoutePolicy } from './policy/route-policy.js';
import { type NodeRequest, readBearerToken } from './request/bearer-token.js';
import { type Answer, refusalAnswer } from './response/challenge.js';
import type { TokenAnswer } from './token-claims.js';

/** Decides about requests; what the adapters stand on. */
export interface ResourceServer {
  /**
   * Lets the request in, or throws `RequestRefused`. The `Authorization` comes at once when the token is known, a
   * promise of it otherwise; `await` takes both.
   *
   * @param body what a form parser made of the request's body, when one ran: a token there is refused, never used
   */
  authorize(req: NodeRequest, body?: unknown): Authorization | Promise<Authorization>;
  /**
   * Throws `RequestRefused`, or gives a promise that rejects with it, unless `authorization` is what `authorize` let `req`
   * in with and meets the policy.
   */
  require(req: NodeRequest, authorization: unknown, policy: RoutePolicy): void | Promise<void>;
  /** The header that answers are chosen by, to be named in `Vary` (RFC 9440 §2.4); undefined for a TLS connection. */
  readonly vary: string | undefined;
  /** The HTTP answer to whatever `authorize` or `require` threw. Never throws. */
  answer(thrown: unknown): Answer;
}

/**
 * A resource server that accepts certificate-bound access tokens (RFC 8705 §3). Nothing is asked of the authorization
 * server before the first request. Throws `ConfigurationError` for a wrong option.
 */
export function createResourceServer(options: ResourceServerOptions = {}): ResourceServer {
  const settings = resolveSettings(options, process.env);
  const report = problemReporter();
  const authorities = settings.issuers.map((issuer) =>
    createAuthority(
      { ...issuer, clockTolerance: settings.clockTolerance, mustBind: settings.binding === 'required' },
      report,
    ),
  );
  const byIssuer = new Map(authorities.map((authority) => [authority.rules.issuer, authority]));
  const whomToAsk = chooserAmong(authorities, settings.selectIssuer);
  const cache = new TokenCache(settings.cache);

  function decide(token: TokenAnswer, certificate: ClientCertificate | undefined): Authorization {
    if (typeof token === 'string') {
      throw new RequestRefused(token);
    }
    const now = Date.now();
    checkClaims(token, authorityOf(token.issuer).rules, now / 1000);
    checkBinding(token.confirmation, certificate?.thumbprint, settings.binding);
    settings.certificatePolicy?.(certificate, now);
    return new Authorization(token, certificate);
  }

  /** Token sources may be the user's own: what they name is looked up, not believed. */
  function authorityOf(issuer: string): Authority {
    const authority = byIssuer.get(issuer);
    if (authority === undefined) {
      throw new TypeError('the option tokens gave claims of an issuer that is not configured');
    }
    return authority;
  }

  /** The whole check again, with what the authorization server says now. */
  async function introspect(req: NodeRequest, { issuer, certificate }: Authorization): Promise<void> {
    const { read } = authorityOf(issuer);
    if (read.introspect === undefined) {
      throw new Error('requireActive() needs jwtAccessTokens({ introspection: introspection() })');
    }
    const token = readBearerToken(req, undefined);
    const answer = await cache.confirm(token, { id: whomToAsk(token, req).id, read: read.introspect });
    decide(answer, certificate);
  }

  function refuse(thrown: unknown, certificate: ClientCertificate | undefined): never {
    const refusal = asRefusal(thrown);
    publishRefused(refusal, certificate?.thumbprint);
    if (refusal.status === 503) {
      report(refusal.code, refusal.message);
    }
    throw refusal;
  }

  return Object.freeze({
    vary: settings.certificate.header,

    authorize(req: NodeRequest, body?: unknown) {
      let certificate: ClientCertificate | undefined;
      try {
        const token = readBearerToken(req, body);
        certificate = settings.certificate(req);
        checkCertificate(certificate);
        if (certificate === undefined && settings.binding === 'required') {
          throw new RequestRefused('certificate_missing');
        }
        const answer = cache.get(token, whomToAsk(token, req));
        if (answer instanceof Promise) {
          return answer
            .then((token) => decide(token, certificate))
            .catch((thrown: unknown) => refuse(thrown, certificate));
        }
        return decide(answer, certificate);
      } catch (thrown) {
        return refuse(thrown, certificate);
      }
    },

    require(req: NodeRequest, authorization: unknown, policy: RoutePolicy) {
      const certificate = authorization instanceof Authorization ? authorization.certificate : undefined;
      try {
        if (!(authorization instanceof Authorization)) {
          throw new Error('a guard of a route ran on a request that mtlsBound() did not let in');
        }
        const outcome = policy({ authorization, introspect: () => introspect(req, authorization) });
        return outcome?.catch((thrown: unknown) => refuse(thrown, certificate));
      } catch (thrown) {
        return refuse(thrown, certificate);
      }
    },

    answer(thrown: unknown) {
      const refusal = asRefusal(thrown);
      try {
        return refusalAnswer(refusal, settings);
      } catch (error) {
        report(
          'error_body_failed',
          `the option errorBody threw; the plain body was sent: ${asRefusal(error).message}`,
        );
        return refusalAnswer(refusal, { realm: settings.realm, errorBody: undefined });
      }
    },
  });
}

/** A source is the user's own function: what it returns decides about identity, so nothing is taken for granted. */
function checkCertificate(certificate: unknown): asserts certificate is ClientCertificate | undefined {
  if (certificate !== undefined && !(certificate instanceof ClientCertificate)) {
    throw new TypeError('the option certificate returned neither a ClientCertificate nor undefined');
  }
}
