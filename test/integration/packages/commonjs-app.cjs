// A CommonJS Express app as a team has it: a test runs it beside the examples.
const { readFileSync } = require('node:fs');
const { createServer } = require('node:https');
const express = require('express');
const { mtlsBound, requireScopes } = require('express-mtls');

const app = express();
app.get('/health', (_req, res) => res.send('ok'));
app.use(mtlsBound());
app.get('/accounts', requireScopes('accounts:read'), (req, res) => {
  res.json({ client: req.auth.clientId, certificate: req.auth.certificate.thumbprint });
});

const tls = {
  cert: readFileSync(process.env.TLS_CERT_FILE),
  key: readFileSync(process.env.TLS_KEY_FILE),
  requestCert: true,
  rejectUnauthorized: false,
};
const server = createServer(tls, app).listen(0, '127.0.0.1', () => {
  console.log(`https://127.0.0.1:${server.address().port}`);
});
