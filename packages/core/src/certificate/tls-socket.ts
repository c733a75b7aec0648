import type { X509Certificate } from 'node:crypto';
import { TellableError } from '../errors.js';
import { createProblemReporter } from '../observe/events.js';
import type { NodeRequest } from '../request/node-request.js';
import { refuseFurtherArguments } from '../shared/call-arguments.js';
import type { Hint } from '../shared/hint.js';
import { type CertificateSource, ClientCertificate, MAX_INTERMEDIATES } from './client-certificate.js';
import { type Connection, connectionOf, isSimulated } from './connection.js';
import { readKeptChain } from './sent-chain.js';
import { createSingleHandshakeReader } from './single-handshake.js';
import { mayErrorBeRevocation } from './verify-error.js';

/** Reads the certificate of a connection, once for a handshake: `createSingleHandshakeReader()` keeps it. */
function readPeerCertificate(connection: Connection): ClientCertificate | undefined {
  // Undefined or false once the client has gone (Node 20): no certificate then.
  const peer = connection.getPeerX509Certificate?.();
  const der = peer?.raw;
  if (peer === undefined || der === undefined || der.length === 0) {
    return undefined;
  }
  // Meaningful now that there is a certificate: a resumed TLS 1.3 session without one is
  // `authorized` on Node 20. Node leaves `authorized` true after the verification of a later handshake
  // failed: only the error shows that. Typed as an Error, yet Node gives OpenSSL's code as text.
  const error: unknown = connection.authorizationError ?? null;
  const verified = connection.authorized === true && error === null;
  const hasLists = (connection.server?.crl ?? connection._tlsOptions?.server?.crl ?? null) !== null;
  const verdict = verified ? undefined : readError(error, hasLists);
  const handle = connection._handle;
  const intermediates = () => {
    const sent = issuersOf(peer);
    return sent.length === 0 ? readKeptChain(handle, der) : sent;
  };
  return new ClientCertificate(der, { verified, ...verdict, intermediates });
}

/** The certificates that came with a certificate in the handshake, its issuer first. */
function issuersOf(peer: X509Certificate): Uint8Array[] {
  const chain: Uint8Array[] = [];
  for (
    let issuer = peer.issuerCertificate;
    issuer !== undefined && chain.length < MAX_INTERMEDIATES;
    issuer = issuer.issuerCertificate
  ) {
    chain.push(issuer.raw);
  }
  return chain;
}

/**
 * @param hasLists whether the server has lists of revoked certificates. OpenSSL names one error of a chain:
 * a client that sends a wrong certificate next to a revoked one chooses which. Without them, an error that
 * Node has no name for counts as one about revocation: contexts of `addContext()`, of `SNICallback` and of
 * connections that a program makes itself have lists that nothing shows.
 */
function readError(error: unknown, hasLists: boolean): { verifyError?: string; mayBeRevoked: boolean } {
  const code = typeof error === 'string' && /^[A-Z0-9_]{1,80}$/.test(error) ? error : undefined;
  const mayBeRevoked = hasLists || code === undefined || mayErrorBeRevocation(code);
  const open = code === 'UNSPECIFIED' ? ', which leaves open what is wrong and whether it is revoked' : '';
  const said = code === undefined ? undefined : `TLS says ${code}${open}`;
  if (hasLists) {
    const lists = 'and the server has lists of revoked certificates (crl)';
    return { verifyError: `${said ?? 'TLS names no error'}, ${lists}`, mayBeRevoked };
  }
  return { ...(said !== undefined && { verifyError: said }), mayBeRevoked };
}

// Made once, when a source of this kind is first made: a process that never makes one is not told
// of each request.
let certificateOf: ReturnType<typeof createSingleHandshakeReader<ClientCertificate | undefined>> | undefined;

/**
 * The certificate of this very TLS connection, for servers where Node ends TLS with `requestCert:
 * true` (RFC 8705 §3). HTTP/1.1 and http2's compatibility API; a resumed session keeps its
 * certificate. A TLS 1.2 connection on which another handshake began is refused from then on
 * (`tls_unsuitable`). Over plain HTTP there is none, and a warning says once what to use instead.
 */
export function tlsSocket(): CertificateSource;
export function tlsSocket(...args: readonly never[]): CertificateSource {
  refuseFurtherArguments('tlsSocket()', args, 0, 'nothing');
  const report = createProblemReporter();
  certificateOf ??= createSingleHandshakeReader(readPeerCertificate);
  const read = certificateOf;
  const source: CertificateSource = (req) => {
    const connection = connectionOf(req);
    if (connection === undefined) {
      return undefined;
    }
    if (isSimulated(connection)) {
      throw new TellableError(noConnection);
    }
    if (connection.encrypted !== true) {
      report(
        'plain_http',
        'A request came over plain HTTP, so it has no client certificate. Where a proxy ' +
          'ends TLS, say which header hands the certificate on: mtlsBound({ certificate: ' +
          "proxyHeader(nginx(), { trust: ['10.0.0.5'] }) }). Where Node ends TLS, use " +
          'https.createServer with requestCert: true.',
      );
      return undefined;
    }
    return read(req)?.value;
  };
  return Object.assign(source, { fromConnection: true, explainMissing });
}

const noConnection =
  'the request came over no connection of a Node server, so tlsSocket() can read no client ' +
  'certificate; behind an adapter for AWS Lambda set certificate: lambdaEvent(); where a test injects ' +
  'requests, use the options of @mtls-bound/core/testing';

function explainMissing(req: NodeRequest): Hint {
  const connection = connectionOf(req);
  if (connection?.encrypted !== true) {
    return {
      code: 'plain_http',
      text:
        'the request came over plain HTTP; where a proxy ends TLS, set the option ' +
        'certificate to proxyHeader(...)',
    };
  }
  if (connection.isSessionReused?.() === true) {
    return {
      code: 'session_resumed',
      text: 'the TLS session was resumed and has no certificate: the client made the first one without',
    };
  }
  return {
    code: 'no_certificate',
    text: 'the client sent none: it is set up without one, or the server does not ask (requestCert: true)',
  };
}
