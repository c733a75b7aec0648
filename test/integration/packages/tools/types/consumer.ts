import { createResourceServer } from '@mtls-bound/core';
import { observeByOpenTelemetry } from '@mtls-bound/core/opentelemetry';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import { guarded, mtlsBound, requirePsd2Role, requireScopes } from 'express-mtls';
import { observeByOpenTelemetry as expressTelemetry } from 'express-mtls/opentelemetry';
import { createTestKit as expressTestKit } from 'express-mtls/testing';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { observeByOpenTelemetry as koaTelemetry } from 'koa-mtls/opentelemetry';
import { createTestKit as koaTestKit } from 'koa-mtls/testing';

const options = { issuer: 'https://as.example.com', clientId: 'api', clientSecret: 'secret', audience: 'a' };

export function api(): express.Express {
  const app = express();
  app.use(mtlsBound(options));
  app.get('/:id', requireScopes('a'), (req, res) => {
    const subject: string | undefined = req.auth?.subject;
    res.send(`${subject} ${req.params.id.length}`);
  });
  app.get(
    '/psd2',
    guarded(requirePsd2Role('PSP_AI'), (req, res) => {
      res.send(req.auth.certificate.thumbprint);
    }),
  );
  return app;
}

export const koa: Koa = new Koa<object>().use(koaMtls.mtlsBound(options)).use((ctx) => {
  ctx.body = ctx.state.auth.subject;
}) as never;

// Types that are missing would be any, and these then no errors.
// @ts-expect-error
export const wrongCore: number = createResourceServer(options);
// @ts-expect-error
export const wrongKit: number = createTestKit();
// @ts-expect-error
export const wrongExpress: number = mtlsBound(options);
// @ts-expect-error
export const wrongKoa: number = koaMtls.mtlsBound(options);
// @ts-expect-error
export const wrongTelemetry: number = observeByOpenTelemetry;
// @ts-expect-error
export const wrongExpressTelemetry: number = expressTelemetry;
// @ts-expect-error
export const wrongExpressKit: number = expressTestKit();
// @ts-expect-error
export const wrongKoaTelemetry: number = koaTelemetry;
// @ts-expect-error
export const wrongKoaKit: number = koaTestKit();
