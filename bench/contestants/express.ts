import express, { type RequestHandler } from 'express';
import { mtlsBound } from 'express-mtls';
import { audience, issuer } from '../harness/cast.js';
import { addVary, createFloorWithDuties, type FloorWithDuties } from './duties.js';
import { createFloor } from './floor.js';
import { handWritten } from './hand-written.js';
import { timed } from './in-place.js';
import { byGlobalFetch, byHttpsRequest, byNodeFetch, type Introspect } from './introspection.js';
import { verifiedByJose } from './jose.js';
import { ourJwtOptions, ourOptions } from './ours.js';
import type { ApiSetup } from './setup.js';
import { sharedFloor, storeInMemory } from './shared-tier.js';

// Imported by a name that TypeScript does not follow: its types declare another `req.auth`, in the whole workspace.
const otherGuard: string = 'express-oauth2-jwt-bearer';
const { auth } = (await import(otherGuard)) as { auth(options: object): RequestHandler };

/** The middleware of each contestant; none for the framework alone. */
const guards: Readonly<
  Record<string, (setup: ApiSetup) => RequestHandler | undefined | Promise<RequestHandler>>
> = {
  'bare Express': () => undefined,

  'the floor': (setup) => passBy(createFloor(byHttpsRequest(setup), setup.tls !== undefined)),

  'the floor with the duties': (setup) =>
    passWithDuties(createFloorWithDuties(byHttpsRequest(setup), setup.tls !== undefined)),

  'the floor in place': (setup) => passBy(timed(createFloor(byHttpsRequest(setup), setup.tls !== undefined))),

  'the floor with the duties in place': (setup) => {
    const floor = createFloorWithDuties(byHttpsRequest(setup), setup.tls !== undefined);
    return passBy(timed((req) => floor.authorize(req, req.body)));
  },

  'authorize() in place': (setup) => {
    const { resourceServer } = mtlsBound(ourOptions(setup));
    return passBy(timed((req) => resourceServer.authorize(req)));
  },

  // Each asks about the token of each request, and checks nothing.
  'https.request': (setup) => askBy(byHttpsRequest(setup)),
  'node-fetch': async (setup) => askBy(await byNodeFetch(setup)),
  'global fetch': (setup) => askBy(byGlobalFetch(setup)),

  'express-mtls': (setup) => mtlsBound(ourOptions(setup)),

  'express-mtls with names': (setup) =>
    mtlsBound({
      ...ourOptions(setup),
      certificatePolicy: {
        issuer: 'O=Example,CN=Test CA',
        subject: ['O=Example,CN=alice', 'O=Example,CN=bob'],
      },
    }),

  // One token is known at a time: each of the others comes from the shared tier.
  'express-mtls with a shared tier': (setup) =>
    mtlsBound({
      ...ourOptions(setup),
      cache: { maxEntries: 1 },
      sharedCache: { store: storeInMemory(), secret: 'the secret of the store of a benchmark' },
    }),

  'the floor of a shared tier': (setup) => guardBy(sharedFloor(byHttpsRequest(setup))),

  'express-mtls with JWTs': (setup) => mtlsBound(ourJwtOptions(setup)),

  'jose jwtVerify': async (setup) => guardBy(await verifiedByJose(setup)),

  'express-oauth2-jwt-bearer': ({ publicJwk }) =>
    auth({
      issuer,
      audience,
      publicKey: publicJwk,
      tokenSigningAlg: 'ES256',
      mtls: { enabled: true, required: true },
      getCertificate: (req: express.Request) => decodeURIComponent(String(req.headers['x-ssl-client-cert'])),
    }),

  'hand-written': (setup) => guardBy(handWritten(setup)),
};

/** At once where the check answers at once. */
function passBy(check: (req: express.Request) => unknown): RequestHandler {
  return (req, res, next) => {
    const claims = check(req);
    if (claims === undefined || claims instanceof Promise) {
      void passLater(claims, req, res, next);
      return;
    }
    req.auth = claims as NonNullable<typeof req.auth>;
    next();
  };
}

function passWithDuties(floor: FloorWithDuties): RequestHandler {
  const pass = (grant: unknown, req: express.Request, res: express.Response, next: express.NextFunction) => {
    const accepted = floor.accept(req, grant);
    if (accepted === undefined) {
      res.status(401).set('WWW-Authenticate', 'Bearer').end();
      return;
    }
    (req as { auth?: unknown }).auth = accepted;
    if (floor.vary !== undefined) {
      addVary(res, floor.vary);
    }
    try {
      next();
    } catch (thrown) {
      next(thrown);
    }
  };
  return (req, res, next) => {
    const grant = floor.authorize(req, req.body);
    if (grant instanceof Promise) {
      void grant.then((granted) => pass(granted, req, res, next));
    } else {
      pass(grant, req, res, next);
    }
  };
}

async function passLater(
  claims: unknown,
  req: express.Request,
  res: express.Response,
  next: express.NextFunction,
): Promise<void> {
  const found = await claims;
  if (found === undefined) {
    res.status(401).set('WWW-Authenticate', 'Bearer').end();
    return;
  }
  req.auth = found as NonNullable<typeof req.auth>;
  next();
}

function askBy(introspect: Introspect): RequestHandler {
  return guardBy(async (req) => {
    const { active } = await introspect((req.headers.authorization ?? '').slice('Bearer '.length));
    return active ? { active } : undefined;
  });
}

function guardBy(claimsOf: (req: express.Request) => Promise<unknown>): RequestHandler {
  return (req, res, next) => passLater(claimsOf(req), req, res, next);
}

export async function expressContestant(setup: ApiSetup): Promise<express.Express> {
  const app = express();
  const guard = await guards[setup.contestant.replace(/ again$/, '')]?.(setup);
  if (guard !== undefined) {
    app.use(guard);
  }
  // The smallest handler: whatever a middleware costs shows most beside it.
  app.get('/accounts', (_req, res) => {
    res.end('ok');
  });
  return app;
}
