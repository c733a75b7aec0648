import type { TLSSocket } from 'node:tls';
import { problemReporter } from '../observe/events.js';
import type { NodeRequest } from '../request/bearer-token.js';
import { type CertificateSource, ClientCertificate } from './client-certificate.js';

/** What we use of a connection; absent members mean that the connection is not TLS, or is gone. */
type Connection = Partial<Pick<TLSSocket, 'encrypted' | 'getPeerX509Certificate'>>;

// Keyed by the connection itself, so that its certificate is read and hashed once, whatever asks for it.
const known = new WeakMap<object, ClientCertificate>();

/**
 * The certificate of this very TLS connection, for servers where Node ends TLS with `requestCert: true`
 * (RFC 8705 §3). HTTP/1.1 and http2's compatibility API; a resumed session keeps its certificate. Over plain HTTP
 * there is none, and a warning says once what to use instead.
 */
export function tlsSocket(): CertificateSource {
  const report = problemReporter();
  return (req) => {
    const connection = connectionOf(req);
    if (connection === undefined) {
      return undefined;
    }
    const certificate = known.get(connection);
    if (certificate !== undefined) {
      return certificate;
    }
    if (connection.encrypted !== true) {
      report(
        'plain_http',
        'A request came over plain HTTP, so it has no client certificate. Where a proxy ends TLS, say which header ' +
          "hands the certificate on: mtlsBound({ certificate: proxyHeader(nginx(), { trust: ['10.0.0.0/8'] }) }). " +
          'Where Node ends TLS, use https.createServer with requestCert: true.',
      );
      return undefined;
    }
    // Undefined or false once the client has gone (Node 20): no certificate then.
    const der = connection.getPeerX509Certificate?.()?.raw;
    if (der === undefined || der.length === 0) {
      return undefined;
    }
    const read = new ClientCertificate(der);
    known.set(connection, read);
    return read;
  };
}

/** http2 makes a new socket proxy for each request; the one of the session lives as long as the connection. */
function connectionOf(req: NodeRequest): Connection | undefined {
  if ('stream' in req) {
    return req.stream?.session?.socket as Connection | undefined;
  }
  return req.socket as Connection | undefined;
}
