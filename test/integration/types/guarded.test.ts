// Checked by tsc (npm run check), and run so that it is counted.
import Router, { type RouterContext } from '@koa/router';
import type { ClientCertificate, WithCertificate } from '@mtls-bound/core';
import express, { type Request, type Response } from 'express';
import {
  type AuthorizedRequest,
  guarded,
  requireAnyScope,
  requireAuthentication,
  requireAuthorizationDetails,
  requireCertificate,
  requireClaims,
  requireScopes,
} from 'express-mtls';
import * as koaMtls from 'koa-mtls';
import { expectTypeOf, it } from 'vitest';

interface Payment {
  readonly amount: number;
}

it('Express: guarded() takes six guards, and the handler knows what all of them grant', () => {
  guarded(
    requireScopes('a'),
    requireAnyScope('b'),
    requireClaims({ tenant: 'x' }),
    requireCertificate({ requireVerified: true }),
    requireAuthentication({ maxAge: 60 }),
    requireAuthorizationDetails({ type: 't' }),
    (req) => {
      expectTypeOf(req.auth.claims.tenant).toEqualTypeOf<'x' | readonly unknown[]>();
      expectTypeOf(req.auth.claims.auth_time).toEqualTypeOf<number>();
      expectTypeOf(req.auth.claims.authorization_details).toEqualTypeOf<readonly unknown[]>();
      expectTypeOf(req.auth.certificate).toEqualTypeOf<ClientCertificate>();
    },
  );
});

it('Express: a handler that types its own request fits into guarded()', () => {
  const pay = (req: Request<{ id: string }, unknown, Payment, { dry?: string }>, res: Response): void => {
    res.json([req.params.id, req.body.amount, req.query.dry]);
  };
  const app = express();
  app.post('/payments/:id', guarded(requireScopes('pay'), pay));
  app.post('/payments/:id', guarded(pay));
  const locals = (_req: Request, res: Response<Payment, { user: string }>): void => {
    res.json({ amount: res.locals.user.length });
  };
  app.get('/payments', locals);
  app.get('/payments', guarded(requireScopes('pay'), locals));
  const certified = (req: AuthorizedRequest<WithCertificate>): string => req.auth.certificate.thumbprint;
  guarded(requireCertificate({ requireVerified: true }), certified);
  // @ts-expect-error a guard of scopes grants no certificate
  guarded(requireScopes('pay'), certified);
  const maybe = (_req: Request & { auth?: WithCertificate }): void => undefined;
  // @ts-expect-error nor does it to a handler that expects it where there is an authorization
  guarded(requireScopes('pay'), maybe);
  const route = guarded(requireScopes('pay'), pay);
  expectTypeOf(route).items.parameter(0).toHaveProperty('params').toEqualTypeOf<{ id: string }>();
});

it('Koa: guarded() takes six guards, and the handler knows what all of them grant', () => {
  koaMtls.guarded(
    koaMtls.requireScopes('a'),
    koaMtls.requireAnyScope('b'),
    koaMtls.requireClaims({ tenant: 'x' }),
    koaMtls.requireCertificate({ requireVerified: true }),
    koaMtls.requireAuthentication({ maxAge: 60 }),
    koaMtls.requireAuthorizationDetails({ type: 't' }),
    (ctx) => {
      const { auth } = ctx.state;
      expectTypeOf(auth.claims.tenant).toEqualTypeOf<'x' | readonly unknown[]>();
      expectTypeOf(auth.claims.auth_time).toEqualTypeOf<number>();
      expectTypeOf(auth.claims.authorization_details).toEqualTypeOf<readonly unknown[]>();
      expectTypeOf(auth.certificate).toEqualTypeOf<ClientCertificate>();
    },
  );
});

it('Koa: a handler that types its own context, with parameters and a parsed body, fits into guarded()', () => {
  type PaymentContext = RouterContext<koaMtls.MtlsBoundState> & { request: { body?: Payment } };
  const pay = (ctx: PaymentContext): void => {
    ctx.body = [ctx.params.id, ctx.request.body?.amount, ctx.state.auth.clientId];
  };
  const route = koaMtls.guarded(koaMtls.requireScopes('pay'), pay);
  new Router().post('/payments/:id', route);
  new Router<koaMtls.MtlsBoundState>().post('/payments/:id', route);
  const certified = (ctx: RouterContext<koaMtls.MtlsBoundState<WithCertificate>>): void => {
    ctx.body = ctx.state.auth.certificate.thumbprint;
  };
  koaMtls.guarded(koaMtls.requirePsd2Role('PSP_AI'), certified);
  // @ts-expect-error a guard of scopes grants no certificate
  koaMtls.guarded(koaMtls.requireScopes('pay'), certified);
});
