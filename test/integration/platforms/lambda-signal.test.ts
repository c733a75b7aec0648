// auth.signal behind an adapter for AWS Lambda: no server of Node says when such a request has ended.
import { setImmediate as turn } from 'node:timers/promises';
import { ClientCertificate } from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { countWatches } from '../../support/counted-watches.js';
import { type Handler, httpApiEvent, serverlessExpress, serverlessHttp } from '../../support/lambda.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import {
  hour,
  withFiles,
  writeAuthority,
  writeCertificate,
  writeList,
} from '../../support/written-status.js';

const root = writeAuthority();
const leaf = writeCertificate({ issuer: root, serial: [7] });
const certificate = new ClientCertificate(leaf.certificate.der as Uint8Array);
const watching = countWatches();

/** A repeating look at a certificate is one of these until it is cleared. */
const timers = new Set<unknown>();
beforeEach(() => {
  timers.clear();
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(((act: () => void, ms: number) => {
    const timer = set(() => {
      timers.delete(timer);
      act();
    }, ms);
    timers.add(timer);
    return timer;
  }) as typeof setTimeout);
  vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
    timers.delete(timer);
    clear(timer);
  });
});
afterEach(() => void vi.restoreAllMocks());

/** Reads `auth.signal` before and after its response is finished. */
type Read = 'before the response' | 'after the response';

function appOf(framework: 'Express' | 'Koa', options: ReturnType<typeof optionsOver>, read: Read) {
  if (framework === 'Express') {
    const app = express();
    const middleware = expressMtls.mtlsBound(options);
    app.use(middleware, (req, res) => {
      const { auth } = req as { auth?: { signal: AbortSignal } };
      if (read === 'before the response') {
        void auth?.signal;
      } else {
        res.on('finish', () => setImmediate(() => void auth?.signal));
      }
      res.json({});
    });
    return { app, middleware };
  }
  const app = new Koa();
  const middleware = koaMtls.mtlsBound(options);
  app.use(middleware);
  app.use((ctx) => {
    const { auth } = ctx.state;
    if (read === 'before the response') {
      void auth.signal;
    } else {
      ctx.res.on('finish', () => setImmediate(() => void auth.signal));
    }
    ctx.body = {};
  });
  return { app, middleware };
}

const adapters: [string, (app: unknown) => Handler][] = [
  ['serverless-http', serverlessHttp],
  ['@codegenie/serverless-express', (app) => serverlessExpress({ app })],
];

describe.each(adapters)('%s', (_name, wrap) => {
  const reads: Read[] = ['before the response', 'after the response'];
  it.each(['Express', 'Koa'] as const)(
    'leaves no watcher and no timer in %s once it has answered',
    async (framework) => {
      await withFiles([writeList(root, { nextUpdate: Date.now() + 24 * hour })], async (crlFiles) => {
        for (const read of reads) {
          const options = optionsOver(
            pretendServer(() => boundClaims(certificate, { exp: undefined })),
            certificate,
            {
              certificatePolicy: {
                authorities: root.certificate.x509.toString(),
                revocationCheck: { by: 'crl' as const, crlFiles },
              },
            },
          );
          const { app, middleware } = appOf(framework, options, read);
          const handler = wrap(app);
          const call = async () => {
            expect((await handler(httpApiEvent('token', undefined), {})).statusCode).toBe(200);
            await turn();
            await turn();
          };
          await call();
          const before = [watching(), timers.size];
          for (let count = 0; count < 5; count += 1) {
            await call();
          }
          expect([read, watching(), timers.size]).toEqual([read, ...before]);
          expect(watching()).toBe(0);
          await middleware.close();
        }
      });
    },
  );
});
