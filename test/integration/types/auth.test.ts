// Checked by tsc (npm run check), and run so that it is counted.
import type { Authorization, ClientCertificate, RoutePolicy, WithCertificate } from '@mtls-bound/core';
import express, { type Request, type RequestHandler } from 'express';
import {
  mtlsBound as expressBound,
  type FapiHeaders,
  type Guard,
  guard,
  guarded,
  type MtlsBound,
  requireAuthentication,
  requireAuthorizationDetails,
  requireCertificate,
  requireClaims,
  requirePsd2Role,
  requireScopes,
} from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { expectTypeOf, it } from 'vitest';

const options = { issuer: 'https://as.example.com', audience: 'a', clientId: 'api', clientSecret: 's' };

it('Express: req.auth is there by declaration merging, and may be missing', () => {
  expectTypeOf<Request['auth']>().toEqualTypeOf<Authorization | undefined>();
  expectTypeOf<Request['fapi']>().toEqualTypeOf<FapiHeaders | undefined>();
  expectTypeOf(expressBound).returns.toEqualTypeOf<MtlsBound>();
  expectTypeOf(requireScopes).parameters.toEqualTypeOf<string[]>();
});

it('what is in it', () => {
  expectTypeOf<Authorization['subject']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<Authorization['scopes']>().toEqualTypeOf<readonly string[]>();
  expectTypeOf<Authorization['certificate']>().toEqualTypeOf<ClientCertificate | undefined>();
  expectTypeOf<Authorization['claims']>().toEqualTypeOf<Readonly<Record<string, unknown>>>();
});

it('Express: a guard fits wherever a handler does, and takes no parameters of the path away', () => {
  expectTypeOf<Guard>().toExtend<RequestHandler>();
  expectTypeOf<Guard>().toExtend<RequestHandler<{ id: string }>>();
  expectTypeOf<MtlsBound>().toExtend<RequestHandler>();
  express().get('/accounts/:id', expressBound(options), requireScopes('a'), (req, res) => {
    expectTypeOf(req.params).toEqualTypeOf<{ id: string }>();
    res.end();
  });
});

it('Express: policies narrow req.auth', () => {
  const app = express();
  app.use(
    guarded((req) => expectTypeOf(req.auth).toEqualTypeOf<Authorization>()),
    guarded(requireScopes('a'), (req) => {
      expectTypeOf(req.auth.certificate).toEqualTypeOf<ClientCertificate | undefined>();
    }),
    guarded(requirePsd2Role('PSP_AI'), (req) => {
      expectTypeOf(req.auth.certificate).toEqualTypeOf<ClientCertificate>();
    }),
    guarded(
      requireClaims({
        tenant: 'x',
        level: [2, 3],
        org: (value) => typeof value === 'string',
        any: () => true,
      }),
      requireCertificate({ requireVerified: true }),
      requireAuthentication({ acrValues: ['urn:sca'], maxAge: 60 }),
      (req) => {
        const { auth } = req;
        expectTypeOf(auth.claims.tenant).toEqualTypeOf<'x' | readonly unknown[]>();
        expectTypeOf(auth.claims.level).toEqualTypeOf<2 | 3 | readonly unknown[]>();
        expectTypeOf(auth.claims.org).toEqualTypeOf<string>();
        expectTypeOf(auth.claims.any).toEqualTypeOf<unknown>();
        expectTypeOf(auth.claims.other).toEqualTypeOf<unknown>();
        expectTypeOf(auth.claims.acr).toEqualTypeOf<'urn:sca'>();
        expectTypeOf(auth.claims.auth_time).toEqualTypeOf<number>();
        expectTypeOf(auth.certificate).toEqualTypeOf<ClientCertificate>();
      },
    ),
    guarded(requireAuthorizationDetails({ type: 't' }), (req) => {
      expectTypeOf(req.auth.claims.authorization_details).toEqualTypeOf<readonly unknown[]>();
    }),
  );
  const ours: RoutePolicy<WithCertificate> = () => undefined;
  expectTypeOf(guard(ours)).toEqualTypeOf<Guard<WithCertificate>>();
});

it('nothing that handlers know of an authorization is any', () => {
  expectTypeOf<NonNullable<Guard['~granted']>>().toEqualTypeOf<Authorization>();
  expectTypeOf<NonNullable<Guard<WithCertificate>['~granted']>>().toEqualTypeOf<WithCertificate>();
  const narrowed = [requireScopes('a'), requireCertificate({ requireVerified: true })] as const;
  expectTypeOf(narrowed[0]).not.toEqualTypeOf(narrowed[1]);
  // @ts-expect-error a guard of scopes grants no certificate
  const wrong: Guard<WithCertificate> = requireScopes('a');
  // @ts-expect-error scopes are texts
  guarded(requireScopes('a'), (req) => req.auth.scopes.push(1));
  // @ts-expect-error a certificate may be missing behind a guard of scopes
  guarded(requireScopes('a'), (req) => req.auth.certificate.thumbprint);
  // @ts-expect-error claims are unknown until a guard has looked at them
  guarded(requireScopes('a'), (req) => req.auth.claims.tenant.length);
  expectTypeOf(wrong).not.toBeAny();
  expectTypeOf<Authorization>().not.toBeAny();
  expectTypeOf<Authorization['claims'][string]>().toBeUnknown();
  expectTypeOf<koaMtls.Guard>().not.toBeAny();
  expectTypeOf<koaMtls.MtlsBoundState['auth']>().not.toBeAny();
});

it('Koa: ctx.state.auth, where the app is typed', () => {
  expectTypeOf<koaMtls.MtlsBoundState['auth']>().toEqualTypeOf<Authorization>();
  new Koa<koaMtls.MtlsBoundState>().use((ctx) => {
    expectTypeOf(ctx.state.auth).toEqualTypeOf<Authorization>();
  });
});

it('Koa: policies narrow it for what is used behind them', () => {
  new Koa<object>()
    .use(koaMtls.mtlsBound(options))
    .use((ctx) => {
      expectTypeOf(ctx.state.auth).toEqualTypeOf<Authorization>();
    })
    .use(koaMtls.requirePsd2Role('PSP_AI'))
    .use(koaMtls.requireClaims({ tenant: 'x' }))
    .use(koaMtls.requireAuthentication({ maxAge: 60 }))
    .use((ctx) => {
      const { auth } = ctx.state;
      expectTypeOf(auth.certificate).toEqualTypeOf<ClientCertificate>();
      expectTypeOf(auth.claims.tenant).toEqualTypeOf<'x' | readonly unknown[]>();
      expectTypeOf(auth.claims.auth_time).toEqualTypeOf<number>();
    });
});

it('Koa: it may be missing where requests without credentials pass', () => {
  new Koa<object>().use(koaMtls.mtlsBound({ ...options, credentials: 'optional' })).use((ctx) => {
    expectTypeOf(ctx.state.auth).toEqualTypeOf<Authorization | undefined>();
  });
});
