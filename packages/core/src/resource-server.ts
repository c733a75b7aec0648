import { Authorization } from './authorization.js';
import { createHttp } from './authorization-server/http.js';
import { discoveredMetadata, givenMetadata } from './authorization-server/metadata.js';
import { TokenCache } from './cache/token-cache.js';
import { ClientCertificate } from './certificate/client-certificate.js';
import { asRefusal, RequestRefused } from './errors.js';
import { problemReporter, publishRefused } from './observe/events.js';
import { type ResourceServerOptions, resolveSettings } from './options.js';
import { checkBinding } from './policy/binding.js';
import { checkClaims } from './policy/claims.js';
import { checkScopes } from './policy/scopes.js';
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
  /** Throws `RequestRefused` unless `authorization` is one of ours and grants every one of the scopes. */
  requireScopes(authorization: unknown, scopes: readonly string[]): void;
  /** The header that answers are chosen by, to be named in `Vary` (RFC 9440 §2.4); undefined for a TLS connection. */
  readonly vary: string | undefined;
  /** The HTTP answer to whatever `authorize` or `requireScopes` threw. Never throws. */
  answer(thrown: unknown): Answer;
}

/**
 * A resource server that accepts certificate-bound access tokens (RFC 8705 §3). Nothing is asked of the authorization
 * server before the first request. Throws `ConfigurationError` for a wrong option.
 */
export function createResourceServer(options: ResourceServerOptions = {}): ResourceServer {
  const settings = resolveSettings(options, process.env);
  const report = problemReporter();
  const http = createHttp(settings.http, settings.clientAuthentication.identity);
  const metadata =
    givenMetadata(settings) ??
    discoveredMetadata(settings, http, (server) => {
      if (settings.binding === 'required' && server.tls_client_certificate_bound_access_tokens !== true) {
        report(
          'tokens_may_be_unbound',
          `${settings.issuer} does not say tls_client_certificate_bound_access_tokens: true (RFC 8705 §3.3); ` +
            'tokens that it does not bind to a certificate are refused',
        );
      }
    });
  const { issuer, audience, clockTolerance, clientId, clientAuthentication } = settings;
  const access = { issuer, audience, clockTolerance, clientId, clientAuthentication, metadata, http };
  const cache = new TokenCache(settings.cache, settings.tokens(access));

  function decide(token: TokenAnswer, certificate: ClientCertificate | undefined): Authorization {
    if (typeof token === 'string') {
      throw new RequestRefused(token);
    }
    const now = Date.now();
    checkClaims(token, settings, now / 1000);
    checkBinding(token.confirmation, certificate?.thumbprint, settings.binding);
    settings.certificatePolicy?.(certificate, now);
    return new Authorization(token, certificate);
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
        const answer = cache.get(token);
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

    requireScopes(authorization: unknown, scopes: readonly string[]) {
      try {
        if (!(authorization instanceof Authorization)) {
          throw new Error('requireScopes() ran on a request that mtlsBound() did not let in');
        }
        checkScopes(authorization.scopes, scopes);
      } catch (thrown) {
        refuse(thrown, authorization instanceof Authorization ? authorization.certificate : undefined);
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
