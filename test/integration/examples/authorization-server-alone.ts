// Runs the authorization server of `examples/fapi-stack` without its proxies, and prints its port.
// `GET /begin` does what a client does to begin: pushes a request, and follows it to the interaction.
import { createServer } from 'node:http';
import {
  audience,
  createAuthorizationServer,
  redirectUri,
  scope,
} from '../../../examples/fapi-stack/authorization-server.js';
import { listen } from '../../support/loopback.js';
import { createPki, issueFrom } from '../../support/pki.js';

const pki = await createPki();
const clients = {
  'by-subject': pki.alice,
  'by-san': await issueFrom(pki, 'CN=tpp', [], ['tpp.example.com']),
  'by-own-certificate': pki.selfSignedRsa,
};
const proxySecret = 's';
const server = createServer();
const port = await listen(server);
const issuer = `http://127.0.0.1:${port}`;
const handle = createAuthorizationServer({ issuer, proxySecret, clients, api: pki.bob });

async function begin(): Promise<{ path: string; cookie: string }> {
  const pushed = await fetch(`${issuer}/request`, {
    method: 'POST',
    headers: {
      'x-proxy-secret': proxySecret,
      'x-fapi-client-cert': encodeURIComponent(pki.alice.cert),
      'x-ssl-client-verify': 'SUCCESS',
    },
    body: new URLSearchParams({
      client_id: 'by-subject',
      response_type: 'code',
      redirect_uri: redirectUri,
      scope,
      resource: audience,
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
    }),
  });
  const { request_uri } = (await pushed.json()) as { request_uri: string };
  const query = new URLSearchParams({ client_id: 'by-subject', request_uri });
  const sent = await fetch(`${issuer}/auth?${query}`, { redirect: 'manual' });
  const cookie = sent.headers.getSetCookie().map((line) => line.split(';')[0]);
  return {
    path: new URL(sent.headers.get('location') ?? '', issuer).pathname,
    cookie: cookie.join('; '),
  };
}

server.on('request', (req, res) => {
  if (req.url === '/begin') {
    begin().then(
      (begun) => res.end(JSON.stringify(begun)),
      (error) => res.writeHead(500).end(String(error)),
    );
  } else {
    handle(req, res);
  }
});
process.stdout.write(`${port}\n`);
