import type { ClientCertificate, NodeRequest, ResourceServerOptions } from '@mtls-bound/core';
import { audience } from './audience.js';

/** An authorization server behind the option `http.fetch`: no socket, and a test holds every answer. */
export interface PretendServer {
  readonly issuer: string;
  readonly fetch: typeof globalThis.fetch;
  /** The token of each introspection request, in turn. */
  readonly asked: readonly string[];
}

/** Returns the introspection answer for a token: claims, or a whole `Response`. */
export type Introspect = (token: string, request: RequestInit) => object | Promise<object>;

export function pretendServer(introspect: Introspect, issuer = 'https://as.example.com'): PretendServer {
  const asked: string[] = [];
  const fetch = async (url: unknown, request: RequestInit = {}): Promise<Response> => {
    if (String(url).includes('/.well-known/')) {
      const metadata = {
        issuer,
        introspection_endpoint: `${issuer}/introspect`,
        tls_client_certificate_bound_access_tokens: true,
      };
      return Response.json(metadata);
    }
    const token = new URLSearchParams(String(request.body)).get('token') ?? '';
    asked.push(token);
    const answer = await introspect(token, request);
    return answer instanceof Response ? answer : Response.json(answer);
  };
  return { issuer, fetch: fetch as typeof globalThis.fetch, asked };
}

/** The claims of a good token that is bound to the certificate, with changes. */
export function boundClaims(
  { thumbprint }: Pick<ClientCertificate, 'thumbprint'>,
  changes: Record<string, unknown> = {},
): object {
  const now = Math.floor(Date.now() / 1000);
  return {
    active: true,
    aud: audience,
    sub: 'user-1',
    client_id: 'alice',
    scope: 'accounts:read',
    iat: now,
    exp: now + 600,
    cnf: { 'x5t#S256': thumbprint },
    ...changes,
  };
}

/** The options of a resource server that asks the pretend server and takes this certificate for the client's. */
export function optionsOver(
  server: PretendServer,
  certificate: ClientCertificate | undefined,
  more: ResourceServerOptions = {},
): ResourceServerOptions {
  return {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'a-client-secret',
    audience,
    certificate: () => certificate,
    ...more,
    http: { fetch: server.fetch, ...more.http },
  };
}

/** A request as Node hands it on; each call makes another request, by default on a connection of its own. */
export function requestWith(
  token: string | undefined,
  headers: Readonly<Record<string, string>> = {},
  socket: object = { remoteAddress: '127.0.0.1' },
): NodeRequest {
  const all = token === undefined ? headers : { ...headers, authorization: `Bearer ${token}` };
  const request = {
    method: 'GET',
    url: '/',
    originalUrl: '/',
    headers: Object.fromEntries(Object.entries(all).map(([name, value]) => [name.toLowerCase(), value])),
    rawHeaders: Object.entries(all).flat(),
    socket,
  };
  return request as unknown as NodeRequest;
}

/** The code of the refusal, or `admitted`. */
export async function outcomeOf(decide: () => unknown): Promise<string> {
  try {
    const granted = await decide();
    return granted === undefined ? 'anonymous' : 'admitted';
  } catch (thrown) {
    return String((thrown as { code?: unknown }).code ?? thrown);
  }
}

/** A promise and what settles it. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
