import express, { type RequestHandler } from 'express';
import { mtlsBound } from 'express-mtls';
import { audience, issuer } from '../harness/cast.js';
import { handWritten } from './hand-written.js';
import { verifiedByJose } from './jose.js';
import { ourOptions } from './ours.js';
import type { ApiSetup } from './setup.js';

// Imported by a name that TypeScript does not follow: its types declare another `req.auth`, in the whole workspace.
const otherGuard: string = 'express-oauth2-jwt-bearer';
const { auth } = (await import(otherGuard)) as { auth(options: object): RequestHandler };

/** The middleware of each contestant; none for the framework alone. */
const guards: Readonly<
  Record<string, (setup: ApiSetup) => RequestHandler | undefined | Promise<RequestHandler>>
> = {
  'bare Express': () => undefined,

  'express-mtls': (setup) => mtlsBound(ourOptions(setup)),

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

function guardBy(claimsOf: (req: express.Request) => Promise<unknown>): RequestHandler {
  return async (req, res, next) => {
    const claims = await claimsOf(req);
    if (claims === undefined) {
      res.status(401).set('WWW-Authenticate', 'Bearer').end();
      return;
    }
    req.auth = claims as NonNullable<typeof req.auth>;
    next();
  };
}

export async function expressContestant(setup: ApiSetup): Promise<express.Express> {
  const app = express();
  const guard = await guards[setup.contestant]?.(setup);
  if (guard !== undefined) {
    app.use(guard);
  }
  // The smallest handler: whatever a middleware costs shows most beside it.
  app.get('/accounts', (_req, res) => {
    res.end('ok');
  });
  return app;
}
