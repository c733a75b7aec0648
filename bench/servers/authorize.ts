// authorize() and its floor with so many tokens known, and Express in front of them when it is wanted.
import { createServer } from 'node:http';
import { type NodeRequest, nginx, proxyHeader, readTokenClaims, type TokenAnswer } from '@mtls-bound/core';
import express from 'express';
import { type MtlsBound, mtlsBound } from 'express-mtls';
import { measure } from 'mitata';
import { listen } from '../../test/support/loopback.js';
import { createFloor } from '../contestants/floor.js';
import { audience, claimsOf, issuer, numberedToken } from '../harness/cast.js';
import { whenAsked } from '../harness/child.js';

interface Setup {
  /** How many of each are known, and take turns at being asked about. */
  readonly tokens: number;
  /** Header and thumbprint. */
  readonly certificates: readonly (readonly [string, string])[];
}

type Case = 'authorize' | 'floor';

let prepared:
  | { guard: MtlsBound; cases: Record<Case, (request: NodeRequest) => unknown>; next: () => NodeRequest }
  | undefined;

whenAsked({
  /** Gives the bytes of heap that each token takes. */
  async prepare({ tokens, certificates }: Setup) {
    const requests = requestsFor(tokens, certificates);
    const before = heap();
    const guard = mtlsBound({
      issuer,
      audience,
      certificate: proxyHeader(nginx(), { trust: 'loopback', maxEntries: 100_000 }),
      tokens: () => async (token) => claimsFor(token, certificates),
      cache: { maxAge: 86_400, maxEntries: tokens, maxSize: 17_179_869_184 },
    });
    const server = guard.resourceServer;
    for (let i = 0; i < tokens; i += 1) {
      await server.authorize(requests.at(i));
    }
    const perToken = (heap() - before) / tokens;
    const floor = createFloor(
      async (token) => ({ active: true, ...parsedClaims(token, certificates) }),
      false,
    );
    for (let i = 0; i < tokens; i += 1) {
      await floor(requests.at(i) as never);
    }
    prepared = {
      guard,
      cases: {
        authorize: (request) => server.authorize(request),
        floor: (request) => floor(request as never),
      },
      next: () => requests.at(Math.floor(Math.random() * tokens)),
    };
    return perToken;
  },

  /** Gives the port. */
  async serve() {
    const app = express();
    if (prepared !== undefined) {
      app.use(prepared.guard);
    }
    app.get('/accounts', (_req, res) => {
      res.end('ok');
    });
    const server = createServer(app);
    server.keepAliveTimeout = 600_000;
    return listen(server);
  },

  /** Gives nanoseconds. Each request is made before the clock starts, with texts of its own, as Node's parser makes them. */
  async time({ name, milliseconds }: { name: Case; milliseconds: number }) {
    if (prepared === undefined) {
      throw new Error('nothing was prepared');
    }
    const { cases, next } = prepared;
    const run = cases[name];
    const { p50 } = await measure(
      function* () {
        yield { 0: next, bench: (request: NodeRequest) => run(request) };
      } as never,
      {
        gc: false as never,
        min_cpu_time: milliseconds * 1e6,
        // Always in batches: one call alone is too short for the clock.
        batch_samples: 256,
        batch_threshold: Number.POSITIVE_INFINITY,
        warmup_threshold: Number.POSITIVE_INFINITY,
      },
    );
    return p50;
  },
});

function requestsFor(tokens: number, certificates: Setup['certificates']) {
  const headers = certificates.map(([header]) => Buffer.from(header, 'latin1'));
  const socket = { remoteAddress: '127.0.0.1', destroyed: false };
  const fresh = (text: string): string => Buffer.from(text, 'latin1').toString('latin1');
  return {
    at(i: number): NodeRequest {
      const certificate = headers[(i % tokens) % headers.length] as Buffer;
      return {
        url: '/accounts',
        socket,
        headers: {},
        rawHeaders: [
          'Host',
          'api.example.com',
          'Connection',
          'keep-alive',
          'X-Forwarded-For',
          '198.51.100.7',
          'X-SSL-Client-Cert',
          certificate.toString('latin1'),
          'X-SSL-Client-Verify',
          'SUCCESS',
          'Authorization',
          fresh(`Bearer ${numberedToken(i)}`),
          'Accept',
          'application/json',
        ],
      } as never;
    },
  };
}

function claimsFor(token: string, certificates: Setup['certificates']): TokenAnswer {
  return readTokenClaims(parsedClaims(token, certificates), issuer);
}

function parsedClaims(token: string, certificates: Setup['certificates']): ReturnType<typeof claimsOf> {
  const [, thumbprint = ''] = certificates[Number.parseInt(token, 10) % certificates.length] ?? [];
  // As text first, for the strings of a parsed answer are its own.
  return JSON.parse(JSON.stringify(claimsOf(thumbprint, token))) as ReturnType<typeof claimsOf>;
}

function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
