import type { IncomingMessage } from 'node:http';
import Koa, { type Middleware } from 'koa';
import { mtlsBound } from 'koa-mtls';
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
  'koa-mtls': (setup) => mtlsBound(ourOptions(setup)) as Middleware,
  'jose jwtVerify': async (setup) => guardBy(await verifiedByJose(setup)),
  'hand-written': (setup) => guardBy(handWritten(setup)),
};

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
