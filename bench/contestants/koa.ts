import type { IncomingMessage } from 'node:http';
import Koa, { type Context, type Middleware, type Next } from 'koa';
import { mtlsBound } from 'koa-mtls';
import { addVary, createFloorWithDuties, type FloorWithDuties } from './duties.js';
import { createFloor } from './floor.js';
import { handWritten } from './hand-written.js';
import { byHttpsRequest } from './introspection.js';
import { verifiedByJose } from './jose.js';
import { ourOptions } from './ours.js';
import type { ApiSetup } from './setup.js';

/** The middleware of each contestant; none for the framework alone. */
const guards: Readonly<Record<string, (setup: ApiSetup) => Middleware | undefined | Promise<Middleware>>> = {
  'bare Koa': () => undefined,
  'the floor': (setup) => {
    const floor = createFloor(byHttpsRequest(setup), setup.tls !== undefined);
    return (ctx, next) => {
      const claims = floor(ctx.req);
      if (claims === undefined || claims instanceof Promise) {
        return guardBy(async () => claims)(ctx, next);
      }
      ctx.state.auth = claims;
      return next();
    };
  },
  'the floor with the duties': (setup) =>
    passWithDuties(createFloorWithDuties(byHttpsRequest(setup), setup.tls !== undefined)),
  'koa-mtls': (setup) => mtlsBound(ourOptions(setup)) as Middleware,
  'jose jwtVerify': async (setup) => guardBy(await verifiedByJose(setup)),
  'hand-written': (setup) => guardBy(handWritten(setup)),
};

function passWithDuties(floor: FloorWithDuties): Middleware {
  const { vary } = floor;
  const pass = (grant: unknown, ctx: Context, next: Next) => {
    const accepted = floor.accept(ctx.req, grant);
    if (accepted === undefined) {
      ctx.status = 401;
      ctx.set('WWW-Authenticate', 'Bearer');
      return Promise.resolve();
    }
    ctx.state.auth = accepted;
    if (vary !== undefined) {
      addVary(ctx.res, vary);
      ctx.onerror = keepVary;
    }
    return next();
  };

  /** Duty 18: Koa removes every header before it answers an error. */
  function keepVary(this: Context, error: Error) {
    const { res } = this;
    const { end } = res;
    if (error !== null && vary !== undefined) {
      res.end = ((...body: Parameters<typeof end>) => {
        res.end = end;
        addVary(res, vary);
        return end.apply(res, body);
      }) as typeof end;
    }
    this.app.context.onerror.call(this, error);
  }

  return (ctx, next) => {
    const grant = floor.authorize(ctx.req, 'body' in ctx.request ? ctx.request.body : undefined);
    return grant instanceof Promise
      ? grant.then((granted) => pass(granted, ctx, next))
      : pass(grant, ctx, next);
  };
}

function guardBy(claimsOf: (req: IncomingMessage) => Promise<unknown>): Middleware {
  return async (ctx, next) => {
    const claims = await claimsOf(ctx.req);
    if (claims === undefined) {
      ctx.status = 401;
      ctx.set('WWW-Authenticate', 'Bearer');
      return;
    }
    ctx.state.auth = claims;
    await next();
  };
}

export async function koaContestant(setup: ApiSetup): Promise<Koa> {
  const app = new Koa();
  const guard = await guards[setup.contestant.replace(/ again$/, '')]?.(setup);
  if (guard !== undefined) {
    app.use(guard);
  }
  // The smallest handler: whatever a middleware costs shows most beside it.
  app.use((ctx) => {
    ctx.body = 'ok';
  });
  return app;
}
