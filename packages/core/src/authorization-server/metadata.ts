import {
  type AuthorizationServer,
  customFetch,
  discoveryRequest,
  JSON_ATTRIBUTE_COMPARISON,
  OperationProcessingError,
  processDiscoveryResponse,
} from 'oauth4webapi';
import { RequestRefused } from '../errors.js';
import type { Http } from './http.js';

/** The authorization server's metadata, discovered when first needed. Rejects with `RequestRefused`. */
export type Metadata = () => Promise<AuthorizationServer>;

// RFC 8414 §3 first; servers that know OpenID Connect Discovery alone answer at the second.
const locations = ['oauth2', 'oidc'] as const;

/** How the metadata are come by and kept. */
export interface MetadataRules {
  readonly issuer: string;
  /** Seconds after which they are read anew. */
  readonly metadataMaxAge: number;
  /** Given by the user for a server without discovery. */
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
}

/** Metadata that the user gave: nothing is discovered. */
export function givenMetadata({ issuer, metadata }: MetadataRules): Metadata | undefined {
  const server = metadata && ({ ...metadata, issuer } as AuthorizationServer);
  return server && (async () => server);
}

/**
 * Discovers the metadata of `issuer` at the first call, shared by all who wait, and shows it to `onFound`. When they are
 * too old they are read anew, while the old ones serve on. A failure is not kept: the next call tries again.
 */
export function discoveredMetadata(
  { issuer, metadataMaxAge }: MetadataRules,
  http: Http,
  onFound: (server: AuthorizationServer) => void,
): Metadata {
  let known: { readonly server: AuthorizationServer; readonly staleAt: number } | undefined;
  let discovery: Promise<AuthorizationServer> | undefined;

  async function discoverOnce(): Promise<AuthorizationServer> {
    try {
      const server = await discover(issuer, http);
      known = { server, staleAt: Date.now() + metadataMaxAge * 1000 };
      onFound(server);
      return server;
    } finally {
      discovery = undefined;
    }
  }

  return async () => {
    if (known !== undefined && Date.now() < known.staleAt) {
      return known.server;
    }
    discovery ??= discoverOnce();
    if (known === undefined) {
      return discovery;
    }
    // Endpoints seldom change and the old ones were good: nobody waits, and a failure is for the next call to mend.
    discovery.catch(() => undefined);
    return known.server;
  };
}

async function discover(issuer: string, http: Http): Promise<AuthorizationServer> {
  let trouble: RequestRefused | undefined;
  for (const algorithm of locations) {
    const url = new URL(issuer);
    const response = await discoveryRequest(url, { algorithm, [customFetch]: http });
    if (response.status === 200) {
      const metadata = await read(url, response);
      // oauth4webapi compares as URLs; the standard wants the identical string (RFC 8414 §3.3).
      if (!(metadata instanceof RequestRefused) && metadata.issuer === issuer) {
        return metadata;
      }
      trouble ??= metadata instanceof RequestRefused ? metadata : mismatch(issuer, metadata.issuer);
    }
    trouble ??= response.status >= 500 ? failed(issuer, response.status) : undefined;
  }
  throw trouble ?? notFound(issuer);
}

async function read(url: URL, response: Response): Promise<AuthorizationServer | RequestRefused> {
  try {
    return await processDiscoveryResponse(url, response);
  } catch (error) {
    if (error instanceof OperationProcessingError && error.code === JSON_ATTRIBUTE_COMPARISON) {
      return mismatch(url.href, undefined);
    }
    const detail = `the metadata of ${url.href} can not be read: ${(error as Error).message}`;
    return new RequestRefused('authorization_server_invalid_answer', { detail });
  }
}

function mismatch(expected: string, found: string | undefined): RequestRefused {
  const says = found === undefined ? 'another issuer' : `issuer ${found}`;
  return new RequestRefused('authorization_server_issuer_mismatch', {
    detail: `the metadata found for ${expected} says ${says}; set the option issuer to the server's own spelling`,
  });
}

function failed(issuer: string, status: number): RequestRefused {
  return new RequestRefused('authorization_server_failed', {
    detail: `discovery of ${issuer} answered ${status}`,
  });
}

function notFound(issuer: string): RequestRefused {
  return new RequestRefused('authorization_server_unsuitable', {
    detail: `${issuer} publishes no metadata (RFC 8414 or OpenID Connect Discovery); check the option issuer`,
  });
}
