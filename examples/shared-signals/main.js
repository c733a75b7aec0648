// An API that receives Shared Signals, and a pretend authorization server that sends them. See README.md beside this file.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createTestCertificate } from '@mtls-bound/core/testing';
import express from 'express';
import { jwtAccessTokens, mtlsBound, observeEvents, sharedSignals } from 'express-mtls';
import { SignJWT } from 'jose';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
const authorizationHeader = `Bearer ${randomUUID()}`;
const certificate = await createTestCertificate();

// The authorization server, which is the transmitter too. In production leave `fetch` out.
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...key.publicKey.export({ format: 'jwk' }), kid: 'key-1' };
const configuration = {
  issuer,
  jwks_uri: `${issuer}/jwks`,
  tls_client_certificate_bound_access_tokens: true,
};
const fetchOfExample = async (url) => Response.json(url.endsWith('/jwks') ? { keys: [jwk] } : configuration);
const sign = (claims, typ, { privateKey } = key) =>
  new SignJWT({ iss: issuer, aud: audience, jti: randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: 'key-1', typ })
    .setIssuedAt()
    .sign(privateKey);

// The API. In production the certificate comes from TLS or from your proxy: leave `certificate` out, or use `proxyHeader()`.
const http = { fetch: fetchOfExample };
const mtls = mtlsBound({
  issuer,
  audience,
  tokens: jwtAccessTokens(),
  certificate: () => certificate,
  http,
});
const signals = sharedSignals(mtls, { transmitter: issuer, audience, authorizationHeader, http });
const app = express();
app.post('/signals', signals); // Before the middleware: the transmitter has no access token.
app.use(mtls);
app.get('/accounts', (req, res) => {
  res.json({ subject: req.auth.subject });
});
const stop = observeEvents({
  signal: ({ outcome, error = '' }) => console.log(`  the API: signal ${outcome} ${error}`.trimEnd()),
  revocation: ({ kind, from }) => console.log(`  the API: a ${kind} revoked by a ${from}`),
});
const server = createServer(app).listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;

let asExpected = true;
async function show(title, expected, request) {
  const { status } = await request;
  asExpected &&= status === expected;
  console.log(`${status === expected ? '✓' : '✗'} ${title}: ${status}`);
}

const token = (sub) =>
  sign({ sub, client_id: 'app', exp: 4e9, cnf: { 'x5t#S256': certificate.thumbprint } }, 'at+jwt');
const get = (bearer) => fetch(`${url}/accounts`, { headers: { authorization: `Bearer ${bearer}` } });
const push = async (sub, signer) =>
  fetch(`${url}/signals`, {
    method: 'POST',
    headers: { 'content-type': 'application/secevent+jwt', authorization: authorizationHeader },
    body: await sign(
      {
        sub_id: { format: 'iss_sub', iss: issuer, sub },
        events: { 'https://schemas.openid.net/secevent/caep/event-type/session-revoked': {} },
      },
      'secevent+jwt',
      signer,
    ),
  });

const [alice, bob] = [await token('alice'), await token('bob')];
await show("Alice's token", 200, get(alice));
await show('a forged signal about Alice', 400, push('alice', otherKey));
await show("Alice's token", 200, get(alice));
await show('the signal that the session of Alice is revoked', 202, push('alice'));
await show("Alice's token", 401, get(alice));
await show("Bob's token", 200, get(bob));

stop();
signals.receiver.close();
server.close();
server.closeAllConnections();
await mtls.close();
process.exitCode = asExpected ? 0 : 1;
