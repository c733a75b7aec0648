// An application may have wrapped writeHead() by something that throws on a refusal: no request may end the process.
import { createServer, type ServerResponse } from 'node:http';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import supertest from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

/** As `on-headers` wraps it: each wrapper runs once, and reads what a refused request does not have. */
function wrapHead(res: ServerResponse, times: number): void {
  for (let i = 0; i < times; i += 1) {
    const writeHead = res.writeHead;
    let hasRun = false;
    res.writeHead = ((...given: Parameters<ServerResponse['writeHead']>) => {
      if (!hasRun) {
        hasRun = true;
        throw new TypeError('the request has no auth');
      }
      return writeHead.apply(res, given);
    }) as ServerResponse['writeHead'];
  }
}

describe.each(frameworks)('%s', (framework) => {
  const listener = (times: number) => {
    if (framework === 'Express') {
      const app = express();
      app.use((_req, res, next) => {
        wrapHead(res, times);
        next();
      });
      return app.use(expressMtls.mtlsBound(kit.options));
    }
    const app = new Koa();
    app.silent = true;
    app.use((ctx, next) => {
      wrapHead(ctx.res, times);
      return next();
    });
    return app.use(koaMtls.mtlsBound(kit.options)).callback();
  };

  it.each([1, 2, 3])(
    'a refusal ends at most its connection where %s listeners for the head throw',
    async (times) => {
      const unhandled = vi.fn();
      process.on('unhandledRejection', unhandled).on('uncaughtException', unhandled);
      try {
        for (const token of [undefined, 'made-up']) {
          const request = kit.withCertificate(supertest(createServer(listener(times))).get('/'));
          const answered = await (token === undefined
            ? request
            : request.auth(token, { type: 'bearer' })
          ).then(
            ({ status }) => status,
            (error: NodeJS.ErrnoException) => error.code,
          );
          expect([401, 500, 503, 'ECONNRESET']).toContain(answered);
        }
        await new Promise((resolve) => setImmediate(resolve));
        expect(unhandled).not.toHaveBeenCalled();
      } finally {
        process.off('unhandledRejection', unhandled).off('uncaughtException', unhandled);
      }
    },
  );
});
