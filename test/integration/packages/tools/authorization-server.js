// A pretend authorization server over TLS, and the certificates of the folder in PEM_FOLDER.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:https';

export const audience = 'https://api.example.com';

const pem = (name) => readFileSync(`${process.env.PEM_FOLDER}/${name}.pem`, 'utf8');
export const identity = (name) => ({ cert: pem(name), key: pem(`${name}-key`) });
export const ca = pem('localhost');

/** TLS of an API that asks for a certificate and takes one of any maker. */
/** Verifies both clients: rules by the names of a certificate refuse a chain that was not verified. */
export const tls = {
  ...identity('localhost'),
  ca: [pem('good'), pem('other')],
  requestCert: true,
  rejectUnauthorized: false,
};

export function listening(server) {
  return new Promise((resolve) => {
    server.listen(0, 'localhost', () => resolve(server.address().port));
  });
}

/**
 * Starts a server that says of every token that it is bound to the certificate of the good client. The token `reader` has the
 * scope accounts:read.
 */
export async function startAuthorizationServer() {
  const thumbprint = new X509Certificate(pem('good')).fingerprint256.replaceAll(':', '');
  let issuer;
  const server = createServer(identity('localhost'), async (req, res) => {
    let form = '';
    for await (const chunk of req) {
      form += chunk;
    }
    const token = new URLSearchParams(form).get('token');
    const answer = req.url.startsWith('/.well-known/')
      ? {
          issuer,
          introspection_endpoint: `${issuer}/introspect`,
          tls_client_certificate_bound_access_tokens: true,
        }
      : {
          active: true,
          iss: issuer,
          aud: audience,
          client_id: 'client',
          scope: token === 'reader' ? 'accounts:read' : undefined,
          exp: Math.floor(Date.now() / 1000) + 60,
          cnf: { 'x5t#S256': Buffer.from(thumbprint, 'hex').toString('base64url') },
        };
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify(answer));
  });
  issuer = `https://localhost:${await listening(server)}`;
  return { server, options: { issuer, clientId: 'api', clientSecret: 'secret', audience, http: { ca } } };
}

/** Returns the status and the body that a client with this certificate gets. */
export function ask(port, name, headers = { authorization: 'Bearer token' }, path = '/') {
  return new Promise((resolve, reject) => {
    const asked = request({ host: 'localhost', port, path, ca, headers, agent: false, ...identity(name) });
    asked.on('error', reject).on('response', async (response) => {
      let body = '';
      for await (const chunk of response) {
        body += chunk;
      }
      resolve(`${response.statusCode} ${body}`);
    });
    asked.end();
  });
}
