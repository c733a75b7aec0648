import {
  createSignalReceiver,
  type FapiHeaders,
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
import type { Context, Middleware } from 'koa';
import { keepHeaderOnErrors } from './error-headers.js';
import { authorizationOf, type GuardedContext, refuse, resourceServer, write } from './guard.js';
import { type MtlsBound, parsedBody } from './mtls-bound.js';

/** What `fapiHeaders()` adds to `ctx.state`. */
export interface FapiState {
  /** What FAPI's headers say of the request. */
  fapi: FapiHeaders;
}

/**
 * Accepts revocation requests (RFC 7009 §2.1) of clients whose token grants `scope`: a form by POST
 * with `token`, `token_hash`, `sub`, `client_id` or `x5t#S256`. Goes after `mtlsBound()`. Answers
 * 200 when each process will know of the revocation, 503 when it holds in this process alone.
 * Throws `ConfigurationError` for a value that is no scope.
 *
 * @example
 * router.post('/revocations', revocationEndpoint('tokens:revoke'));
 */
export function revocationEndpoint(scope: string): Middleware {
  const policy = scopesPolicy([scope], 'revocationEndpoint()');
  return async (ctx: Context & GuardedContext) => {
    const server = ctx[resourceServer] ?? missingMiddleware;
    write(ctx, await server.acceptRevocation(ctx.req, authorizationOf(ctx, server), policy, parsedBody(ctx)));
  };
}

/**
 * Answers requests for the metadata of this resource at its well-known path (RFC 9728 §3), without
 * credentials. Goes before `mtlsBound()`. Throws `ConfigurationError` if `mtlsBound()` has no
 * option `resourceMetadata`.
 *
 * @example
 * const mtls = mtlsBound({ resourceMetadata: { resource: 'https://api.example.com' } });
 * app.use(protectedResourceMetadata(mtls)).use(mtls);
 */
export function protectedResourceMetadata(mtls: Pick<MtlsBound, 'resourceServer'>): Middleware {
  const metadata = resourceMetadataOf(mtls, 'protectedResourceMetadata()');
  return async (ctx, next) => {
    const answer = metadata(ctx.method, ctx.originalUrl);
    if (answer === undefined) {
      await next();
    } else {
      write(ctx, answer);
    }
  };
}

/**
 * Reads FAPI's headers to `ctx.state.fapi`, and gives each answer the `x-fapi-interaction-id` of
 * its request, or a new one (FAPI 1.0 Part 1 §6.2.1): those of this package, of your handlers and
 * of errors. Goes before `mtlsBound()`. Throws `ConfigurationError`.
 */
export function fapiHeaders(options?: FapiHeadersOptions): Middleware<FapiState> {
  refuseUncalledMiddleware('fapiHeaders()', options);
  const read = fapiHeaderReader(options);
  return async (ctx, next) => {
    const { fapi, refusal, onRefused } = read(ctx.req);
    ctx.state.fapi = fapi;
    ctx.set(interactionHeader, fapi.interactionId);
    keepHeaderOnErrors(ctx, interactionHeader, fapi.interactionId);
    ctx.res.sendDate = true;
    if (refusal !== undefined) {
      refuse(ctx, onRefused === 'next' ? missingMiddlewareNext : missingMiddleware, refusal);
      return;
    }
    await next();
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
 * router.post('/signals', sharedSignals(mtls, { transmitter: issuer, audience, authorizationHeader: secret }));
 */
export function sharedSignals(
  mtls: Pick<MtlsBound, 'resourceServer'>,
  options: SharedSignalsOptions,
): Middleware & { readonly receiver: SignalReceiver } {
  refuseUncalledMiddleware('sharedSignals()', mtls);
  const receiver = createSignalReceiver((mtls as Partial<MtlsBound> | undefined)?.resourceServer, options);
  const middleware: Middleware = async (ctx) => {
    write(ctx, await receiver.acceptPush(ctx.req, parsedBody(ctx)));
  };
  return Object.assign(middleware, { receiver });
}
