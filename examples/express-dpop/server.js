// An Express API whose clients need no certificate: each proves its key by DPoP. See README.md beside this file.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import express from 'express';
import { mtlsBound, requireScopes } from 'express-mtls';

const mtls = mtlsBound({ dpop: { origin: process.env.PUBLIC_ORIGIN } });
const app = express();
app.get('/health', (_req, res) => res.send('ok')); // Before the middleware: open to all.
app.use(mtls);
app.get('/accounts', requireScopes('accounts:read'), (req, res) => {
  const { clientId, keyThumbprint, certificate } = req.auth;
  res.json({ client: clientId, key: keyThumbprint, certificate: certificate?.thumbprint });
});

const tls = {
  cert: readFileSync(process.env.TLS_CERT_FILE),
  key: readFileSync(process.env.TLS_KEY_FILE),
  requestCert: true, // Other clients have a certificate: their tokens are bound to it.
  rejectUnauthorized: false,
};
const server = createServer(tls, app).listen(Number(process.env.PORT ?? 8443), '127.0.0.1', () => {
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
