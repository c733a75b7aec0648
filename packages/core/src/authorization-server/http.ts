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
}

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
export function createHttp({ timeout, maxResponseSize, ca }: HttpRules, identity?: ClientIdentity): Http {
  const agentOf = agents(ca);
  return async (url, { method, headers, body }) => {
    const agent = agentOf(await identity?.());
    const signal = AbortSignal.timeout(timeout * 1000);
    try {
      const answer = await fetch(url, {
        method,
        headers,
        body: body ?? null,
        redirect: 'manual',
        agent,
        size: maxResponseSize,
        signal,
      });
      return new Response(await answer.arrayBuffer(), {
        status: answer.status,
        headers: [...answer.headers],
      });
    } catch (error) {
      throw asTrouble(error, url, signal.aborted);
    }
  };
}

/**
 * Connections that carry our certificate of the moment. When it changes, new exchanges get new connections; those under
 * way end on the old ones, which are not used again.
 */
function agents(ca: HttpRules['ca']): (identity: CertificateAndKey | undefined) => Agent {
  let current = {
    identity: undefined as CertificateAndKey | undefined,
    agent: new Agent({ keepAlive: true, ca }),
  };
  return (identity) => {
    if (identity !== current.identity) {
      const { agent: old } = current;
      current = { identity, agent: new Agent({ keepAlive: true, ca, ...identity }) };
      old.maxFreeSockets = 0;
      for (const socket of Object.values(old.freeSockets).flatMap((sockets) => sockets ?? [])) {
        socket.destroy();
      }
    }
    return current.agent;
  };
}

function asTrouble(error: unknown, url: string, timedOut: boolean): RequestRefused {
  if (timedOut) {
    return new RequestRefused('authorization_server_timeout', { detail: `no answer in time from ${url}` });
  }
  if (error instanceof FetchError && error.type === 'system') {
    const detail = `no connection to ${url}: ${error.code ?? error.message}`;
    return new RequestRefused('authorization_server_unreachable', { detail });
  }
  // Too large, badly compressed, or a status that no final answer has.
  const detail = `an unusable answer from ${url}: ${error instanceof Error ? error.message : 'unknown'}`;
  return new RequestRefused('authorization_server_invalid_answer', { detail });
}
