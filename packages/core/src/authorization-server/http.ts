import { Agent } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import fetch, { FetchError } from 'node-fetch';
import { RequestRefused } from '../errors.js';
import type { CertificateAndKey, ClientIdentity } from './client-identity.js';

/** How we speak to the authorization server. */
export interface HttpRules {
  /** Seconds for one whole exchange, the body included. */
  readonly timeout: number;
  /** Bytes of an answer's body, after decompression. */
  readonly maxResponseSize: number;
  /** PEM certificates trusted instead of Node's own list. */
  readonly ca: SecureContextOptions['ca'];
  /** The user's own connections, for a way through an HTTP proxy. */
  readonly agent: AgentFactory | undefined;
  /** The user's own transport, in place of node-fetch and of all that concerns connections. */
  readonly fetch: typeof globalThis.fetch | undefined;
}

/** What a connection to the authorization server must trust and show. */
export interface ConnectionOptions {
  /** Connections are used again. */
  readonly keepAlive: true;
  /** The option `http.ca`. */
  readonly ca: SecureContextOptions['ca'];
  /** Our own certificate in PEM, for the methods that prove themselves in TLS. */
  readonly cert?: string | Buffer;
  /** Its key in PEM. */
  readonly key?: string | Buffer;
}

/** Makes the agent for connections; called again when our own certificate has changed. */
export type AgentFactory = (options: ConnectionOptions) => Agent;

/** The part of a request that oauth4webapi sets. */
export interface HttpRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: URLSearchParams | string | null | undefined;
}

/** Sends one request and resolves with the whole answer; rejects with `RequestRefused`. */
export type Http = (url: string, request: HttpRequest) => Promise<Response>;

/**
 * node-fetch over kept-alive connections. The answer is read to its end here, within the time and size limits, so
 * that whoever handles it meets no stream. Redirects are not followed: a token would be sent on (RFC 9700 §4.12).
 */
export function createHttp(
  rules: HttpRules,
  identity?: ClientIdentity,
): { readonly send: Http; readonly close: () => void } {
  const { timeout, maxResponseSize, ca } = rules;
  const pool = agents(ca, rules.agent ?? ((options) => new Agent(options)));
  const send =
    rules.fetch === undefined
      ? sentByNodeFetch(pool.agentOf, maxResponseSize, identity)
      : sentBy(rules.fetch, maxResponseSize);
  return {
    send: async (url, request) => {
      const signal = AbortSignal.timeout(timeout * 1000);
      try {
        return await send(url, request, signal);
      } catch (error) {
        throw asTrouble(error, url, signal.aborted);
      }
    },
    close: pool.close,
  };
}

type Send = (url: string, request: HttpRequest, signal: AbortSignal) => Promise<Response>;

function sentByNodeFetch(agentOf: AgentOf, maxResponseSize: number, identity?: ClientIdentity): Send {
  return async (url, { method, headers, body = null }, signal) => {
    const certificate = await ownCertificate(identity);
    const answer = await fetch(url, {
      method,
      headers,
      body,
      redirect: 'manual',
      agent: agentOf(certificate),
      size: maxResponseSize,
      signal,
    });
    return new Response(await answer.arrayBuffer(), { status: answer.status, headers: [...answer.headers] });
  };
}

/** Another transport keeps to the same rules; its answer is counted as it comes. */
function sentBy(userFetch: typeof globalThis.fetch, maxResponseSize: number): Send {
  return async (url, { method, headers, body = null }, signal) => {
    const answer = await userFetch(url, { method, headers, body, redirect: 'manual', signal }).catch(() => {
      const detail = `http.fetch brought no answer from ${url}`;
      throw new RequestRefused('authorization_server_unreachable', { detail });
    });
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of answer.body ?? []) {
      size += chunk.length;
      if (size > maxResponseSize) {
        throw new RangeError('the body is larger than http.maxResponseSize');
      }
      chunks.push(chunk);
    }
    return new Response(Buffer.concat(chunks), { status: answer.status, headers: answer.headers });
  };
}

/** A certificate of ours that can't be had is our own trouble, not the server's. */
async function ownCertificate(identity: ClientIdentity | undefined): Promise<CertificateAndKey | undefined> {
  try {
    return await identity?.();
  } catch (error) {
    throw new RequestRefused('internal_error', { detail: (error as Error).message, cause: error });
  }
}

type AgentOf = (identity: CertificateAndKey | undefined) => Agent;

/**
 * Connections that carry our certificate of the moment. When it changes, new exchanges get new connections; those under
 * way end on the old ones, which are not used again.
 */
function agents(ca: HttpRules['ca'], make: AgentFactory): { agentOf: AgentOf; close: () => void } {
  let current = {
    identity: undefined as CertificateAndKey | undefined,
    agent: make({ keepAlive: true, ca }),
  };
  return {
    agentOf(identity) {
      if (identity !== current.identity) {
        const { agent: old } = current;
        current = { identity, agent: make({ keepAlive: true, ca, ...identity }) };
        endIdle(old);
      }
      return current.agent;
    },
    close: () => endIdle(current.agent),
  };
}

/** Those in use end with their exchange. */
function endIdle(agent: Agent): void {
  agent.maxFreeSockets = 0;
  for (const socket of Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? [])) {
    socket.destroy();
  }
}

/** What OpenSSL says of a chain that ends in an authority it does not know. */
export const unknownAuthority: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

function asTrouble(error: unknown, url: string, timedOut: boolean): RequestRefused {
  if (timedOut) {
    return new RequestRefused('authorization_server_timeout', { detail: `no answer in time from ${url}` });
  }
  if (error instanceof RequestRefused) {
    return error;
  }
  if (error instanceof FetchError && error.type === 'system') {
    const code = error.code ?? error.message;
    const fix = unknownAuthority.has(code)
      ? '; give the PEM of its authority to http.ca or MTLS_BOUND_CA_FILE'
      : '';
    const detail = `no connection to ${url}: ${code}${fix}`;
    return new RequestRefused('authorization_server_unreachable', { detail });
  }
  // Too large, badly compressed, or a status that no final answer has.
  const detail = `an unusable answer from ${url}: ${error instanceof Error ? error.message : 'unknown'}`;
  return new RequestRefused('authorization_server_invalid_answer', { detail });
}
