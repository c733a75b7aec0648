import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import type { Identity } from '../../test/support/pki.js';
import { audience, scope } from './authorization-server.js';

export interface ApiOptions {
  readonly issuer: string;
  readonly proxySecret: string;
  readonly ca: string;
  /** The API's own certificate, by which it authenticates at the introspection endpoint. */
  readonly identity: Identity;
}

function options({ issuer, proxySecret, ca, identity }: ApiOptions): expressMtls.ResourceServerOptions {
  return {
    profile: 'fapi2-security',
    issuer,
    clientId: 'api',
    clientAuthentication: expressMtls.tlsClientAuth({ cert: identity.cert, key: identity.key }),
    audience,
    http: { ca },
    // A revocation shows within a second here; the default is a minute.
    cache: { maxAge: 1, rejectionMaxAge: 1 },
    certificate: expressMtls.proxyHeader(expressMtls.uniIdLibra(), {
      // Where NGINX is: on this machine, or in a container of a private network.
      trust: ['loopback', 'uniquelocal'],
      secret: { header: 'x-proxy-secret', value: proxySecret },
    }),
  };
}

/** What the API says it saw: whose token it was, and where the request came from. */
export function expressApi(settings: ApiOptions) {
  const { fapiHeaders, mtlsBound, requireScopes } = expressMtls;
  const app = express();
  app.use(fapiHeaders(), mtlsBound(options(settings)));
  app.get('/accounts', requireScopes(scope), (req, res) => {
    res.json({ user: req.auth?.subject, client: req.auth?.clientId, from: req.headers['x-forwarded-for'] });
  });
  return app;
}

export function koaApi(settings: ApiOptions) {
  const { fapiHeaders, mtlsBound, requireScopes } = koaMtls;
  const app = new Koa();
  app.use(fapiHeaders() as Koa.Middleware);
  app.use(mtlsBound(options(settings)) as Koa.Middleware);
  app.use(requireScopes(scope));
  app.use((ctx) => {
    const { subject, clientId } = ctx.state.auth;
    ctx.body = { user: subject, client: clientId, from: ctx.req.headers['x-forwarded-for'] };
  });
  return app.callback();
}
