// An Express API of a regulated PKI: it verifies the chains of clients itself, refuses revoked certificates, and trusts
// one proxy of a mesh by its name. See README.md beside this file.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import express from 'express';
import { mtlsBound, proxyHeader, requireScopes, rfc9440 } from 'express-mtls';

const mtls = mtlsBound({
  // The proxy ends the TLS of clients. Its certificate changes often; its SPIFFE id stays.
  certificate: proxyHeader(rfc9440({ chainHeader: 'client-cert-chain' }), {
    trust: 'loopback', // where the proxy runs
    proxyCertificate: { ca: process.env.MESH_CA_FILE, uri: process.env.PROXY_ID },
  }),
  certificatePolicy: {
    authorities: process.env.CLIENTS_CA_FILE,
    revocationCheck: { by: 'crl', mode: 'strict', crlFiles: process.env.CRL_FILES.split(',') },
  },
});
const app = express();
app.get('/health', (_req, res) => res.send('ok')); // Before the middleware: open to all.
app.use(mtls);
app.get('/accounts', requireScopes('accounts:read'), (req, res) => {
  res.json({ client: req.auth.clientId, isVerified: req.auth.certificate.verified });
});

const tls = {
  cert: readFileSync(process.env.TLS_CERT_FILE),
  key: readFileSync(process.env.TLS_KEY_FILE),
  requestCert: true, // The proxy shows its certificate; proxyCertificate decides.
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
