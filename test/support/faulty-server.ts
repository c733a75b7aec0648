import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { audience } from './audience.js';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';

/** What the server under test sent to the introspection endpoint. */
export interface Recorded {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Behaviour = (req: IncomingMessage, res: ServerResponse, body: string) => void;

/** An authorization server that does what a real one can't be made to do. */
export interface FaultyServer {
  readonly issuer: string;
  readonly requests: readonly Recorded[];
  /** What the introspection endpoint does from now on. */
  introspection: Behaviour;
  /** What the metadata locations do from now on. */
  metadata: Behaviour;
  close(): Promise<void>;
}

/** Answers with this status, these headers and this body, JSON unless it is text already. */
export function answer(status: number, body: unknown, headers: Record<string, string> = {}): Behaviour {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return (_req, res) => {
    res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
  };
}

/** The claims of a good token, with changes. */
export function goodClaims(issuer: string, thumbprint: string, changes: Record<string, unknown> = {}) {
  const now = Math.floor(Date.now() / 1000);
  return {
    active: true,
    iss: issuer,
    aud: audience,
    sub: 'user-1',
    client_id: 'alice',
    scope: 'accounts:read',
    token_type: 'Bearer',
    iat: now,
    exp: now + 600,
    cnf: { 'x5t#S256': thumbprint },
    ...changes,
  };
}

export async function startFaultyServer(pki: Pki, identity = pki.server): Promise<FaultyServer> {
  const requests: Recorded[] = [];
  const server = createServer({ cert: identity.cert, key: identity.key }, (req, res) => {
    let body = '';
    req.setEncoding('latin1');
    req.on('data', (chunk) => {
      body += chunk;
    });
    req.on('end', () => {
      if (req.url?.startsWith('/.well-known/')) {
        faulty.metadata(req, res, body);
      } else {
        requests.push({ method: req.method ?? '', url: req.url ?? '', headers: req.headers, body });
        faulty.introspection(req, res, body);
      }
    });
  });
  const port = await listen(server);
  const issuer = `https://127.0.0.1:${port}`;
  const faulty: FaultyServer = {
    issuer,
    requests,
    introspection: answer(500, ''),
    metadata: answer(200, goodMetadata(issuer)),
    close: () => close(server),
  };
  return faulty;
}

export function goodMetadata(issuer: string): Record<string, unknown> {
  return {
    issuer,
    introspection_endpoint: `${issuer}/introspect`,
    tls_client_certificate_bound_access_tokens: true,
  };
}
