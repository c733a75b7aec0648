import { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';
import { isUint8Array } from 'node:util/types';
import { MAX_INTERMEDIATES } from './client-certificate.js';

// Node 24.21 and 26.8 read the certificate of an authorized connection themselves, at the end of its
// handshake, and drop what they read. The first read empties OpenSSL's list of the certificates that came
// with it, so that nothing in Node's public API gives them afterwards (nodejs/node#65579). Each connection
// has a handle, whose method makes that read. There the certificates are kept.

/** A certificate as the handle gives it. No public type has these members. */
interface CertificateHandle {
  raw?(): unknown;
  getIssuerCert?(): CertificateHandle | undefined;
}

type ReadCertificate = (this: object, ...parameters: unknown[]) => CertificateHandle | undefined;

const READ = 'getPeerX509Certificate';

/** By the handle of a connection: what its first read gave. */
const firstReads = new WeakMap<object, CertificateHandle>();
let isPatched = false;

/**
 * Replaces the method by which the TLS handles of the whole process read a certificate, on a version of
 * Node that drops the certificates that clients send: those of each connection that is made from now on
 * are kept. Never throws. If Node's handle has changed, nothing is kept: then a path that needs a sent
 * certificate is not found, and its client is refused.
 */
export function patchTlsHandles(version: string = process.versions.node): void {
  if (isPatched || !dropsSentChains(version)) {
    return;
  }
  isPatched = true;
  try {
    const prototype = prototypeOfHandles();
    const read = prototype[READ];
    if (typeof read === 'function') {
      prototype[READ] = keepFirst(read);
    }
  } catch {
    // As above: clients that need it are refused.
  }
}

/** Node 24.22 and 26.9 have the correction. */
function dropsSentChains(version: string): boolean {
  return /^(?:24\.21|26\.8)\./.test(version);
}

/** Returns what all handles inherit from. It needs a connection, of which no byte is ever sent. */
function prototypeOfHandles(): { [READ]?: ReadCertificate } {
  const stream = new Duplex({ read: () => undefined });
  const secureContext = createSecureContext({ ca: [] });
  const socket = new TLSSocket(stream as never, { isServer: true, secureContext });
  const prototype = Object.getPrototypeOf((socket as unknown as { _handle: object })._handle);
  socket.destroy();
  return prototype;
}

function keepFirst(read: ReadCertificate): ReadCertificate {
  return function readAndKeep(...parameters) {
    const certificate = Reflect.apply(read, this, parameters);
    if (certificate !== undefined && !firstReads.has(this)) {
      firstReads.set(this, certificate);
    }
    return certificate;
  };
}

/**
 * Returns the certificates that came with a certificate when it was first read from the handle of its
 * connection, DER, its issuer first. They are the client's word. Never throws.
 *
 * @param der the certificate that the connection gives now: of another one, none is returned
 */
export function readKeptChain(handle: object | null | undefined, der: Uint8Array): Uint8Array[] {
  const chain: Uint8Array[] = [];
  const kept = handle ? firstReads.get(handle) : undefined;
  const own = kept?.raw?.();
  if (!isUint8Array(own) || Buffer.compare(own, der) !== 0) {
    return chain;
  }
  for (
    let issuer = kept?.getIssuerCert?.();
    issuer !== undefined && chain.length < MAX_INTERMEDIATES;
    issuer = issuer.getIssuerCert?.()
  ) {
    const raw = issuer.raw?.();
    if (!isUint8Array(raw)) {
      break;
    }
    chain.push(raw);
  }
  return chain;
}
