import { hash, X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Claims, Introspect } from './introspection.js';

/**
 * Returns claims at once for a known token, a promise of them for another, and `undefined` for a
 * request that must not pass.
 */
export type Floor = (req: IncomingMessage) => Claims | Promise<Claims | undefined> | undefined;

/**
 * The least that a check of a known token takes, without options: two headers from `rawHeaders`, one
 * hash of the token, two look-ups, and the comparisons. Where Node ends TLS, the connection stands
 * for the certificate.
 *
 * @param endsTls the certificate is that of the connection, and comes in no header
 */
export function createFloor(introspect: Introspect, endsTls: boolean): Floor {
  const answers = new Map<string, Claims>();
  const thumbprints = new Map<string, string>();
  const connections = new WeakMap<object, string>();

  function ofHeader(header: string): string {
    const thumbprint = thumbprintOf(new X509Certificate(decodeURIComponent(header)));
    thumbprints.set(header, thumbprint);
    return thumbprint;
  }

  function ofConnection(socket: TLSSocket): string | undefined {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) {
      return undefined;
    }
    const thumbprint = thumbprintOf(certificate);
    connections.set(socket, thumbprint);
    return thumbprint;
  }

  async function learn(token: string, key: string, thumbprint: string): Promise<Claims | undefined> {
    const answer = await introspect(token);
    answers.set(key, answer);
    return fits(answer, thumbprint) ? answer : undefined;
  }

  return (req) => {
    const { rawHeaders } = req;
    let bearer: string | undefined;
    let header: string | undefined;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at] as string;
      if (name.length === 13 && name.toLowerCase() === 'authorization') {
        bearer = rawHeaders[at + 1];
      } else if (name.length === 17 && name.toLowerCase() === 'x-ssl-client-cert') {
        header = rawHeaders[at + 1];
      }
    }
    if (bearer === undefined || !bearer.startsWith('Bearer ')) {
      return undefined;
    }
    const token = bearer.slice(7);
    const thumbprint = endsTls
      ? (connections.get(req.socket) ?? ofConnection(req.socket as TLSSocket))
      : header && (thumbprints.get(header) ?? ofHeader(header));
    if (!thumbprint) {
      return undefined;
    }
    const key = hash('sha256', token, 'base64url');
    const answer = answers.get(key);
    if (answer === undefined) {
      return learn(token, key, thumbprint);
    }
    return fits(answer, thumbprint) ? answer : undefined;
  };
}

function fits(answer: Claims, thumbprint: string): boolean {
  return answer.active && (answer.exp ?? 0) * 1000 > Date.now() && answer.cnf?.['x5t#S256'] === thumbprint;
}

function thumbprintOf(certificate: X509Certificate): string {
  return Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');
}
