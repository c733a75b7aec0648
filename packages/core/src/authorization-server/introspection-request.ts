import { type AuthorizationServer, type Client, customFetch, introspectionRequest } from 'oauth4webapi';
import type { Deadline } from '../shared/deadline.js';
import { type ClientAuthentication, isConstant, limitAuthentication } from './client-authentication.js';

/** What is the same in each introspection request of a token source. */
export interface IntrospectionRules {
  readonly client: Client;
  readonly authentication: ClientAuthentication;
  readonly additionalParameters: Readonly<Record<string, string>>;
  /** Whether a signed answer is asked for (RFC 9701). */
  readonly requestJwtResponse: boolean;
}

/** A request as oauth4webapi makes it. */
export interface IntrospectionRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: URLSearchParams;
}

/**
 * Returns a function that makes introspection requests. oauth4webapi makes the first request to a
 * server. If this API authenticates by a constant, later requests differ in the token alone.
 */
export function createIntrospectionRequests({
  client,
  authentication,
  additionalParameters,
  requestJwtResponse,
}: IntrospectionRules): (
  server: AuthorizationServer,
  token: string,
  deadline: Deadline,
) => Promise<IntrospectionRequest> {
  let made: { readonly server: AuthorizationServer; readonly request: IntrospectionRequest } | undefined;
  const make = async (server: AuthorizationServer, token: string, deadline: Deadline) => {
    let request: IntrospectionRequest | undefined;
    await introspectionRequest(server, client, limitAuthentication(authentication, deadline), token, {
      [customFetch]: async (url, { method, headers, body }) => {
        request = { url, method, headers, body };
        return new Response(null);
      },
      additionalParameters,
      requestJwtResponse,
    });
    if (request === undefined) {
      throw new Error('oauth4webapi made no request');
    }
    return request;
  };
  return async (server, token, deadline) => {
    if (made?.server !== server) {
      const request = await make(server, token, deadline);
      if (isConstant(authentication)) {
        made = { server, request: withToken(request, '') };
      }
      return request;
    }
    return withToken(made.request, token);
  };
}

/** Returns a copy with another token. */
function withToken(request: IntrospectionRequest, token: string): IntrospectionRequest {
  const body = new URLSearchParams(request.body);
  body.set('token', token);
  return { ...request, headers: { ...request.headers }, body };
}
