import type { Authorization } from '../authorization.js';
import { RequestRefused } from '../errors.js';
import type { RoutePolicy } from '../policy/route-policy.js';
import type { NodeRequest } from '../request/node-request.js';
import { type FinishingResponse, knownRequestStateOf, requestStateOf } from '../request/request-state.js';
import type { ResourceServer } from '../resource-server.js';
import type { HttpAnswer } from '../response/http-answer.js';
import type { HttpRefusal } from '../response/http-refusal.js';
import { refusingResourceServer } from './refusing-resource-server.js';

/**
 * What an adapter does by means of its framework. `Exchange` is what it answers a request by: the
 * response of Express, the context of Koa.
 */
export interface Framework<Exchange, Next> {
  /** Returns the object that gets the `Authorization`, as the property that `property` names. */
  stateOf(req: NodeRequest, exchange: Exchange): object;
  /** Returns what a body parser made of the request's body, when one ran. */
  bodyOf(req: NodeRequest, exchange: Exchange): unknown;
  /**
   * Returns the URL that the client sent, whatever a mount or a rewrite made of it; `undefined` if the
   * framework puts it at `req.originalUrl`, as Express does, or has no mounts.
   */
  urlOf(req: NodeRequest, exchange: Exchange): string | undefined;
  /** Returns the response of Node. Without it, `auth.signal` learns the end of a request from Node alone. */
  responseOf?(exchange: Exchange): FinishingResponse;
  /** Names a header in `Vary` of the answer, of errors too. */
  addVary(exchange: Exchange, header: string): void;
  /** Sets a header of the answer, of errors too. An error may have a `Cache-Control` of its own. */
  setHeader(exchange: Exchange, name: string, value: string): void;
  /** Passes an accepted request on. */
  pass(next: Next): unknown;
  /** Sends an answer. */
  write(exchange: Exchange, answer: HttpAnswer): void;
  /**
   * Hands a refusal to the error handling of the framework. Returns whether that took it: the
   * request is answered otherwise.
   */
  raise(refusal: HttpRefusal, next: Next): boolean;
}

/** What the middleware of an adapter does with a request. */
export interface AdapterSteps<Exchange, Next> {
  /** Lets `server` accept the request, and passes it on, or refuses it. */
  authorize(server: ResourceServer, req: NodeRequest, exchange: Exchange, next: Next): unknown;
  /**
   * Checks a policy of a route, and passes the request on, or refuses it. Asks the server that
   * accepted the request; refuses it if none did, or if the last one refused it.
   */
  checkPolicy(policy: RoutePolicy, req: NodeRequest, exchange: Exchange, next: Next): unknown;
  /** Answers a request with what `ask` resolves to, or refuses it. */
  answerWith(
    ask: (server: ResourceServer, authorization: unknown) => Promise<HttpAnswer>,
    req: NodeRequest,
    exchange: Exchange,
    next: Next,
  ): Promise<void>;
  /** Refuses a request: answers it, or, with the option `onRefused: 'next'`, raises the refusal. */
  refuse(server: ResourceServer, req: NodeRequest, exchange: Exchange, next: Next, thrown: unknown): void;
}

/** Makes the steps of an adapter. Only what the resource server confirms passes a request on. */
export function createAdapterSteps<Exchange, Next>(
  framework: Framework<Exchange, Next>,
): AdapterSteps<Exchange, Next> {
  /** Takes what was confirmed; `undefined` for a request without credentials. */
  type Accept = (
    server: ResourceServer,
    req: NodeRequest,
    exchange: Exchange,
    granted: Authorization | undefined,
  ) => void;

  const acceptRequest: Accept = (server, req, exchange, granted) => {
    // Set for a request without credentials too: what another middleware put there says nothing of
    // this request.
    setAuthorization(server, req, exchange, granted);
    requestStateOf(req).acceptedBy = server;
    const nonce = server.nextNonce(req, granted);
    if (nonce !== undefined) {
      framework.setHeader(exchange, 'DPoP-Nonce', nonce);
      // A stored answer would give a nonce that is too old (RFC 9449 §8.2).
      framework.setHeader(exchange, 'Cache-Control', 'no-store');
    }
    if (server.vary !== undefined) {
      framework.addVary(exchange, server.vary);
    }
  };

  const acceptRoute: Accept = (server, req, exchange, granted) => {
    if (granted === undefined) {
      throw new RequestRefused('credentials_missing');
    }
    setAuthorization(server, req, exchange, granted);
  };

  /** For a request that waits for nothing it makes no promise and no function. */
  function authorize(server: ResourceServer, req: NodeRequest, exchange: Exchange, next: Next): unknown {
    try {
      // If a later mtlsBound() refuses the request, no guard accepts it any more: an error handler of the
      // application can pass a refused request on.
      const state = requestStateOf(req);
      state.acceptedBy = undefined;
      // Where a server of Node announced the request, its own response says when it is finished.
      state.response ??= framework.responseOf?.(exchange);
      const outcome = server.authorize(req, framework.bodyOf(req, exchange));
      if (!server.isOwnAuthorization(req, outcome)) {
        return runLater(acceptRequest, server, req, exchange, next, outcome);
      }
      acceptRequest(server, req, exchange, outcome);
    } catch (thrown) {
      return refuse(server, req, exchange, next, thrown);
    }
    return framework.pass(next);
  }

  function checkPolicy(policy: RoutePolicy, req: NodeRequest, exchange: Exchange, next: Next): unknown {
    const server = acceptingServer(req);
    try {
      const outcome = server.require(req, authorizationOf(server, req, exchange), policy);
      if (!server.isOwnAuthorization(req, outcome)) {
        return runLater(acceptRoute, server, req, exchange, next, outcome);
      }
      acceptRoute(server, req, exchange, outcome);
    } catch (thrown) {
      return refuse(server, req, exchange, next, thrown);
    }
    return framework.pass(next);
  }

  /** Waits for a promise of any make, and passes on only what `server` confirms. */
  async function runLater(
    accept: Accept,
    server: ResourceServer,
    req: NodeRequest,
    exchange: Exchange,
    next: Next,
    outcome: unknown,
  ): Promise<unknown> {
    try {
      accept(server, req, exchange, server.requireOwnAuthorization(req, await outcome));
    } catch (thrown) {
      return refuse(server, req, exchange, next, thrown);
    }
    return framework.pass(next);
  }

  function refuse(
    server: ResourceServer,
    req: NodeRequest,
    exchange: Exchange,
    next: Next,
    thrown: unknown,
  ): void {
    const refusal = server.errorFor(thrown, req);
    // An error handler might take the value of a property that can't be cleared for the authorization of
    // this request.
    if (
      refusal !== undefined &&
      clearAuthorization(server, req, exchange) &&
      framework.raise(refusal, next)
    ) {
      return;
    }
    framework.write(exchange, server.answer(thrown, req));
  }

  function authorizationOf({ property }: ResourceServer, req: NodeRequest, exchange: Exchange): unknown {
    return (framework.stateOf(req, exchange) as Record<string, unknown>)[property];
  }

  /** Clears the property. Returns whether it is: another middleware may have made it read-only. */
  function clearAuthorization(server: ResourceServer, req: NodeRequest, exchange: Exchange): boolean {
    try {
      setAuthorization(server, req, exchange, undefined);
      return authorizationOf(server, req, exchange) === undefined;
    } catch {
      return false;
    }
  }

  function setAuthorization(
    { property }: ResourceServer,
    req: NodeRequest,
    exchange: Exchange,
    authorization: Authorization | undefined,
  ): void {
    (framework.stateOf(req, exchange) as Record<string, unknown>)[property] = authorization;
  }

  return {
    authorize,
    checkPolicy,
    async answerWith(ask, req, exchange, next) {
      const server = acceptingServer(req);
      let answer: HttpAnswer;
      try {
        answer = await ask(server, authorizationOf(server, req, exchange));
      } catch (thrown) {
        return refuse(server, req, exchange, next, thrown);
      }
      framework.write(exchange, answer);
    },
    refuse,
  };
}

/** The guards of routes answer as the mtlsBound() did that accepted the request. */
function acceptingServer(req: NodeRequest): ResourceServer {
  return (knownRequestStateOf(req)?.acceptedBy as ResourceServer | undefined) ?? refusingResourceServer;
}
