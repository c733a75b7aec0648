import {
  createSignalReceiver,
  type FapiHeadersOptions,
  fapiHeaderReader,
  interactionHeader,
  missingMiddleware,
  missingMiddlewareNext,
  refuseUncalledMiddleware,
  resourceMetadataOf,
  type SharedSignalsOptions,
  type SignalReceiver,
  scopesPolicy,
} from '@mtls-bound/core';
import type { Request, RequestHandler } from 'express';
import { authorizationOf, type MarkedRequest, refuse, resourceServer, write } from './guard.js';
import type { MtlsBound } from './mtls-bound.js';

/**
 * Accepts revocation requests (RFC 7009 §2.1) of clients whose token grants `scope`: a form by POST
 * with `token`, `token_hash`, `sub`, `client_id` or `x5t#S256`. Goes after `mtlsBound()`. Answers
 * 200 when each process will know of the revocation, 503 when it holds in this process alone.
 * Throws `ConfigurationError` for a value that is no scope.
 *
 * @example
 * app.post('/revocations', revocationEndpoint('tokens:revoke'));
 */
export function revocationEndpoint(scope: string): RequestHandler {
  const policy = scopesPolicy([scope], 'revocationEndpoint()');
  return (req: Request & MarkedRequest, res, next) => {
    const server = req[resourceServer] ?? missingMiddleware;
    server
      .acceptRevocation(req, authorizationOf(req, server), policy, req.body)
      .then((answer) => write(res, answer))
      .catch(next);
  };
}

/**
 * Answers requests for the metadata of this resource at its well-known path (RFC 9728 §3), without
 * credentials. Goes before `mtlsBound()`. Throws `ConfigurationError` if `mtlsBound()` has no
 * option `resourceMetadata`.
 *
 * @example
 * const mtls = mtlsBound({ resourceMetadata: { resource: 'https://api.example.com' } });
 * app.use(protectedResourceMetadata(mtls), mtls);
 */
export function protectedResourceMetadata(mtls: Pick<MtlsBound, 'resourceServer'>): RequestHandler {
  const metadata = resourceMetadataOf(mtls, 'protectedResourceMetadata()');
  return (req, res, next) => {
    const answer = metadata(req.method, req.originalUrl);
    if (answer === undefined) {
      next();
    } else {
      write(res, answer);
    }
  };
}

/**
 * Reads FAPI's headers to `req.fapi`, and gives each answer the `x-fapi-interaction-id` of its
 * request, or a new one (FAPI 1.0 Part 1 §6.2.1): those of this package, of your handlers and of
 * errors. Goes before `mtlsBound()`. Throws `ConfigurationError`.
 */
export function fapiHeaders(options?: FapiHeadersOptions): RequestHandler {
  refuseUncalledMiddleware('fapiHeaders()', options);
  const read = fapiHeaderReader(options);
  return (req, res, next) => {
    const { fapi, refusal, onRefused } = read(req);
    req.fapi = fapi;
    res.setHeader(interactionHeader, fapi.interactionId);
    res.sendDate = true;
    if (refusal === undefined) {
      next();
    } else {
      refuse(req, res, next, onRefused === 'next' ? missingMiddlewareNext : missingMiddleware, refusal);
    }
  };
}

/**
 * Receives Security Event Tokens that a transmitter of Shared Signals pushes (RFC 8935), and
 * revokes the tokens that they concern. Goes before `mtlsBound()`, at a path of its own. Answers
 * 202 when the revocation holds in each process. With the option `poll` it fetches the tokens
 * instead (RFC 8936), and is put nowhere. Throws `ConfigurationError` for a wrong option.
 *
 * @example
 * const mtls = mtlsBound({ issuer, audience, tokens: jwtAccessTokens() });
 * app.post('/signals', sharedSignals(mtls, { transmitter: issuer, audience, authorizationHeader: secret })).use(mtls);
 */
export function sharedSignals(
  mtls: Pick<MtlsBound, 'resourceServer'>,
  options: SharedSignalsOptions,
): RequestHandler & { readonly receiver: SignalReceiver } {
  refuseUncalledMiddleware('sharedSignals()', mtls);
  const receiver = createSignalReceiver((mtls as Partial<MtlsBound> | undefined)?.resourceServer, options);
  const handler: RequestHandler = (req, res, next) => {
    receiver
      .acceptPush(req, req.body)
      .then((answer) => write(res, answer))
      .catch(next);
  };
  return Object.assign(handler, { receiver });
}
