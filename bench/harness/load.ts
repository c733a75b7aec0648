import type { JWK } from 'jose';
import { keepAwake } from './awake.js';
import { type Child, startChild } from './child.js';
import { findProgram } from './program.js';
import { isQuick } from './settings.js';
import { wrk } from './wrk.js';

/** One request that is sent again and again. Its headers take turns. */
export interface Load {
  readonly url: string;
  readonly headers: readonly Readonly<Record<string, string>>[];
  /** A random number of eight digits, less than this, takes the place of `{number}` in each request. */
  readonly numbers?: number;
  readonly connections: number;
  readonly seconds: number;
  /** The client certificate, for mutual TLS. */
  readonly identity?: { readonly cert: string; readonly key: string };
  /** In each request another token of this client, by POST as a form where it says so. */
  readonly newTokens?: {
    readonly client: number;
    readonly in: 'header' | 'form';
    /** Makes the tokens JWTs, bound to this thumbprint. */
    readonly signed?: { readonly privateJwk: JWK; readonly thumbprint: string };
  };
  /** Over HTTP/2, with so many streams at once in each connection. */
  readonly streams?: number;
}

export interface Loaded {
  readonly requestsPerSecond: number;
  /** From request to answer, the mean, in milliseconds. */
  readonly latency: number;
  /** How many requests were answered. */
  readonly requests: number;
}

/** Throws when any answer is not 200: a refusal is faster than an answer, and would win. */
export type LoadGenerator = (load: Load) => Promise<Loaded>;

/** wrk where it is installed, else autocannon; it runs on a core of its own. */
export async function startLoadGenerator(): Promise<{
  readonly plain: LoadGenerator;
  /** Does what wrk can't: client certificates, a new token in each request. */
  readonly versatile: LoadGenerator;
  stop(): Promise<void>;
}> {
  const child: Child = await startChild(new URL('../servers/autocannon.ts', import.meta.url), {
    core: 'load',
  });
  const awake = keepAwake();
  const versatile: LoadGenerator = (load) =>
    child.ask<Loaded>('load', isQuick ? { ...load, seconds: 0, connections: 4 } : load);
  return {
    plain: findProgram('wrk') !== undefined && !isQuick ? wrk : versatile,
    versatile,
    stop: async () => {
      await Promise.all([child.stop(), awake.stop()]);
    },
  };
}
