import { type IncomingMessage, request } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';

/** What the proxy sends on of a request, given the certificate's DER when there is one. */
export type Forward = (
  headers: IncomingMessage['headers'],
  der: Buffer | undefined,
) => IncomingMessage['headers'];

/** A proxy that ends mutual TLS and makes the mistakes that it is told to make: real ones are tried in test/integration/proxies. */
export async function startCarelessProxy(
  pki: Pki,
  target: number,
  forward: Forward,
  tls: ServerOptions = {},
): Promise<{ readonly url: URL; close(): Promise<void> }> {
  const options = { cert: pki.server.cert, key: pki.server.key, ca: pki.ca.cert, ...tls };
  const server = createServer({ ...options, requestCert: true, rejectUnauthorized: false }, (req, res) => {
    const der = (req.socket as TLSSocket).getPeerX509Certificate()?.raw;
    const onward = request(
      { port: target, host: '127.0.0.1', path: req.url, headers: forward(req.headers, der) },
      (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(res);
      },
    );
    onward.once('error', () => res.writeHead(502).end());
    onward.end();
  });
  const port = await listen(server);
  return { url: new URL(`https://127.0.0.1:${port}/`), close: () => close(server) };
}
