// A Koa API that ends TLS itself. Settings come from the environment; see README.md beside this file.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import Koa from 'koa';
import { mtlsBound, requireScopes } from 'koa-mtls';

const mtls = mtlsBound();
const app = new Koa();
app.use(async (ctx, next) => {
  if (ctx.path !== '/health') return next();
  ctx.body = 'ok'; // Before the middleware: open to all.
});
app.use(mtls);
app.use(requireScopes('accounts:read'));
app.use((ctx) => {
  const { clientId, certificate } = ctx.state.auth;
  ctx.body = { client: clientId, certificate: certificate.thumbprint };
});

const tls = {
  cert: readFileSync(process.env.TLS_CERT_FILE),
  key: readFileSync(process.env.TLS_KEY_FILE),
  requestCert: true, // Ask every client for a certificate in the handshake,
  rejectUnauthorized: false, // and let the binding decide: a self-signed one is as good (RFC 8705 §6.2).
};
const server = createServer(tls, app.callback()).listen(Number(process.env.PORT ?? 8443), '127.0.0.1', () => {
  console.log(`https://127.0.0.1:${server.address().port}`);
});

/** Milliseconds that requests under way have to finish after SIGTERM. */
const endWithin = Number(process.env.END_WITHIN ?? 10_000);
process.once('SIGTERM', async () => {
  try {
    await Promise.race([new Promise((resolve) => server.close(resolve)), wait(endWithin)]);
    server.closeAllConnections(); // Before mtls.close(): after it no revocation is received.
    await Promise.race([mtls.close(), wait(5_000)]);
  } finally {
    process.exit();
  }
});
