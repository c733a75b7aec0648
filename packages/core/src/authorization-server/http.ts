import { Agent } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import fetch, { FetchError } from 'node-fetch';
import { RequestRefused } from '../errors.js';

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
export function createHttp({ timeout, maxResponseSize, ca }: HttpRules): Http {
  const agent = new Agent({ keepAlive: true, ca });
  return async (url, { method, headers, body }) => {
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
