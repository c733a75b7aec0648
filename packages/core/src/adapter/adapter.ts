import type { ResourceServerOptions } from '../options/resource-server-options.js';
import { createGuards, type GuardOf, type Guards, type GuardType } from '../policy/guards.js';
import { checkMiddlewareCall, readMiddlewareArgument } from '../policy/middleware-call.js';
import { refuseUncalledMiddleware } from '../policy/middleware-not-called.js';
import { createScopesPolicy } from '../policy/scopes.js';
import { type FapiHeadersOptions, fapiHeaderReader } from '../request/fapi-headers.js';
import type { NodeRequest } from '../request/node-request.js';
import { keepRequestTarget } from '../request/request-target.js';
import { createResourceServer, type ResourceServer } from '../resource-server.js';
import { refuseFurtherArguments } from '../shared/call-arguments.js';
import { interactionHeader } from '../shared/interaction-id.js';
import { createMismatch } from '../shared/option-errors.js';
import type { SharedSignalsOptions } from '../signals/signal-options.js';
import { createSignalReceiver, type SignalReceiver } from '../signals/signal-receiver.js';
import { type AdapterSteps, createAdapterSteps, type Framework } from './adapter-steps.js';
import { refusingResourceServer, refusingResourceServerNext } from './refusing-resource-server.js';
import { resourceMetadataOf } from './resource-metadata-of.js';

/** The types of a framework's middleware. */
export interface MiddlewareTypes extends GuardType {
  readonly middleware: unknown;
  /** The type of `fapiHeaders()`. */
  readonly fapiMiddleware: unknown;
}

/** What `mtlsBound()` returns, next to being a middleware. */
export interface BoundResourceServer extends Pick<ResourceServer, 'revoke' | 'close' | 'reported'> {
  /** Decides about requests without the framework: for upgrades, readiness checks and tests. */
  readonly resourceServer: ResourceServer;
}

/** The functions of an adapter, for the middleware types of its framework. */
export interface Adapter<Types extends MiddlewareTypes> extends Guards<Types> {
  /** Makes the middleware that accepts requests. Throws `ConfigurationError` for a wrong option. */
  mtlsBound(options?: ResourceServerOptions): GuardOf<Types> & BoundResourceServer;
  /**
   * Returns the middleware of `guarded()`: a guard that requires nothing, the given guards, and the
   * handler. Throws `ConfigurationError` for what is no function.
   */
  guardedChain(handlers: readonly unknown[]): GuardOf<Types>[];
  /**
   * Accepts revocation requests (RFC 7009 §2.1) of clients whose token grants `scope`: a form by
   * POST with `token`, `token_hash`, `jti`, `sub`, `sid`, `client_id` or `x5t#S256`. Goes after
   * `mtlsBound()`. Answers 200 when each process will know of the revocation, 503 when it holds in this
   * process alone. Throws `ConfigurationError` for a value that is no scope.
   *
   * @example
   * router.post('/revocations', revocationEndpoint('tokens:revoke'));
   */
  revocationEndpoint(scope: string): Types['middleware'];
  /**
   * Answers requests for the metadata of this resource at its well-known path (RFC 9728 §3),
   * without credentials. Goes before `mtlsBound()`. Throws `ConfigurationError` if `mtlsBound()`
   * has no option `resourceMetadata`.
   *
   * @example
   * const mtls = mtlsBound({ resourceMetadata: { resource: 'https://api.example.com' } });
   * app.use(protectedResourceMetadata(mtls)).use(mtls);
   */
  protectedResourceMetadata(mtls: Pick<BoundResourceServer, 'resourceServer'>): Types['middleware'];
  /**
   * Reads FAPI's headers to `req.fapi` in Express, `ctx.state.fapi` in Koa, and gives each answer
   * the `x-fapi-interaction-id` of its request, or a new one (FAPI 1.0 Part 1 §6.2.1): those of
   * this package, of your handlers and of errors. Goes before `mtlsBound()`. Throws
   * `ConfigurationError`.
   */
  fapiHeaders(options?: FapiHeadersOptions): Types['fapiMiddleware'];
  /**
   * Receives Security Event Tokens that a transmitter of Shared Signals pushes (RFC 8935), and
   * revokes the tokens that they concern. Goes before `mtlsBound()`, at a path of its own. Answers
   * 202 when each process will know of the revocation. With the option `poll` it fetches the tokens
   * instead (RFC 8936), and is put nowhere. Throws `ConfigurationError` for a wrong option.
   *
   * @example
   * const mtls = mtlsBound({ issuer, audience, tokens: jwtAccessTokens() });
   * const options = { transmitter: issuer, audience, authorizationHeader: secret };
   * router.post('/signals', sharedSignals(mtls, options));
   */
  sharedSignals(
    mtls: Pick<BoundResourceServer, 'resourceServer'>,
    options: SharedSignalsOptions,
  ): Types['middleware'] & { readonly receiver: SignalReceiver };
}

/**
 * Handles a request. In a framework that takes errors as rejections (Koa), its promise rejects with a
 * refusal (`onRefused: 'next'`) or with what `next` rejects with. In others it never rejects.
 */
type Handle<Exchange, Next> = (req: NodeRequest, exchange: Exchange, next: Next) => unknown;

/**
 * Makes the handler for a framework whose middleware returns promises: it returns what `handle` returns,
 * or else a promise of nothing. The promise rejects with what `handle` throws.
 */
export function createAsyncHandler<Exchange, Next>(handle: Handle<Exchange, Next>): Handle<Exchange, Next> {
  return (req, exchange, next) => {
    // With a cached token `handle` waits for nothing, and returns what `next` returns.
    try {
      return handle(req, exchange, next) ?? resolved();
    } catch (thrown) {
      return rejected(thrown);
    }
  };
}

// Promises of the engine, whatever the application has put in place of `Promise`.
async function resolved(): Promise<void> {}

async function rejected(thrown: unknown): Promise<never> {
  throw thrown;
}

const oneObject = 'one object of options';

const frameworkFunctions = [
  'stateOf',
  'bodyOf',
  'urlOf',
  'addVary',
  'setHeader',
  'pass',
  'write',
  'raise',
] as const satisfies readonly (keyof Framework<unknown, unknown>)[];

/**
 * Makes the functions of an adapter. Throws `ConfigurationError` for a framework that lacks a
 * function.
 *
 * @param middleware makes a middleware of the framework from what handles a request
 */
export function createAdapter<Types extends MiddlewareTypes, Exchange, Next>(
  framework: Framework<Exchange, Next>,
  middleware: (
    handle: Handle<Exchange, Next>,
  ) => Types['middleware'] & GuardOf<Types> & Types['fapiMiddleware'],
): Adapter<Types>;
export function createAdapter<Types extends MiddlewareTypes, Exchange, Next>(
  ...args: [
    framework: Framework<Exchange, Next>,
    middleware: (
      handle: Handle<Exchange, Next>,
    ) => Types['middleware'] & GuardOf<Types> & Types['fapiMiddleware'],
  ]
): Adapter<Types> {
  refuseFurtherArguments('createAdapter()', args, 2, 'a framework and a function that makes a middleware');
  const [framework, middleware] = args;
  const given = framework as unknown as Readonly<Record<string, unknown>> | null | undefined;
  for (const name of frameworkFunctions) {
    if (typeof given?.[name] !== 'function') {
      throw createMismatch(`createAdapter().${name}`, 'a function', 'something else');
    }
  }
  if (!['function', 'undefined'].includes(typeof given?.responseOf)) {
    throw createMismatch('createAdapter().responseOf', 'a function', 'something else');
  }
  const steps: AdapterSteps<Exchange, Next> = createAdapterSteps(framework);
  const middlewareOf = (handle: Handle<Exchange, Next>) =>
    middleware((req, exchange, next) => {
      keepRequestTarget(req, framework.urlOf(req, exchange));
      return handle(req, exchange, next);
    });
  const guards = createGuards<Types>((policy) =>
    middlewareOf((req, exchange, next) => steps.checkPolicy(policy, req, exchange, next)),
  );
  return Object.freeze({
    ...guards,

    mtlsBound(...given) {
      const options = readMiddlewareArgument('mtlsBound()', given, oneObject);
      const server = createResourceServer(options);
      const { revoke, close, reported } = server;
      return Object.assign(
        middlewareOf((req, exchange, next) => steps.authorize(server, req, exchange, next)) as object,
        { resourceServer: server, revoke, close, reported },
      ) as GuardOf<Types> & BoundResourceServer;
    },

    guardedChain(handlers) {
      refuseUncalledMiddleware('guarded()', handlers[0]);
      if (handlers.length === 0 || !handlers.every((handler) => typeof handler === 'function')) {
        throw createMismatch('guarded()', 'guards and, as the last, a handler: functions', 'something else');
      }
      return [guards.guard(() => undefined), ...(handlers as GuardOf<Types>[])];
    },

    revocationEndpoint(...given) {
      const scope = readMiddlewareArgument('revocationEndpoint()', given, 'one scope');
      const policy = createScopesPolicy('revocationEndpoint()', [scope]);
      return middlewareOf((req, exchange, next) =>
        steps.answerWith(
          (server, authorization) =>
            server.acceptRevocation(req, authorization, policy, framework.bodyOf(req, exchange)),
          req,
          exchange,
          next,
        ),
      );
    },

    protectedResourceMetadata(...given) {
      const mtls = readMiddlewareArgument(
        'protectedResourceMetadata()',
        given,
        'the middleware of mtlsBound()',
      );
      const metadata = resourceMetadataOf(mtls, 'protectedResourceMetadata()');
      return middlewareOf((req, exchange, next) => {
        const answer = metadata(req.method, framework.urlOf(req, exchange) ?? shownTargetOf(req));
        return answer === undefined ? framework.pass(next) : framework.write(exchange, answer);
      });
    },

    fapiHeaders(...given) {
      const options = readMiddlewareArgument('fapiHeaders()', given, oneObject);
      const read = fapiHeaderReader(options);
      return middlewareOf((req, exchange, next) => {
        const { fapi, refusal, onRefused } = read(req);
        (framework.stateOf(req, exchange) as { fapi?: unknown }).fapi = fapi;
        framework.setHeader(exchange, interactionHeader, fapi.interactionId);
        if (refusal === undefined) {
          return framework.pass(next);
        }
        const server = onRefused === 'next' ? refusingResourceServerNext : refusingResourceServer;
        return steps.refuse(server, req, exchange, next, refusal);
      });
    },

    sharedSignals(...given) {
      const both = `the middleware of mtlsBound() and ${oneObject}`;
      checkMiddlewareCall('sharedSignals()', given, 2, both);
      const [mtls, options] = given;
      const receiver = createSignalReceiver(
        (mtls as Partial<BoundResourceServer> | undefined)?.resourceServer,
        options,
      );
      const receive = middlewareOf((req, exchange, next) =>
        steps.answerWith(
          () => receiver.acceptPush(req, framework.bodyOf(req, exchange)),
          req,
          exchange,
          next,
        ),
      );
      return Object.assign(receive as object, { receiver }) as Types['middleware'] & {
        receiver: SignalReceiver;
      };
    },
  } satisfies Adapter<Types>);
}

/** Returns the URL where Express keeps it, or Node. Never throws: nothing is decided by it here. */
function shownTargetOf(req: NodeRequest & { readonly originalUrl?: string }): string | undefined {
  return req.originalUrl ?? req.url;
}
