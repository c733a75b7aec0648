import express from 'express';
import { guarded, mtlsBound, requireScopes } from 'express-mtls';
import { type AuthResult, auth } from 'express-oauth2-jwt-bearer';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';

declare module 'express-mtls' {
  interface MtlsBoundTypes {
    property: 'mtls';
  }
}
declare module 'koa-mtls' {
  interface MtlsBoundTypes {
    property: 'mtls';
  }
}

const app = express();
app.use(auth(), mtlsBound({ property: 'mtls' }));
app.get(
  '/',
  guarded(requireScopes('a'), (req, res) => {
    const theirs: AuthResult | undefined = req.auth;
    const subject: string | undefined = req.mtls.subject;
    res.send([theirs?.token, subject]);
  }),
);

new Koa<object>().use(koaMtls.mtlsBound({ property: 'mtls' })).use((ctx) => {
  const subject: string | undefined = ctx.state.mtls.subject;
  // @ts-expect-error
  ctx.body = [subject, ctx.state.auth];
});
