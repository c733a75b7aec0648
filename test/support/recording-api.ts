import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { createServer as createTlsServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import { mutualTls } from './apis.js';
import { close } from './loopback.js';
import type { Identity, Pki } from './pki.js';

/** What clients call the API, in SNI and in Host; Caddy insists that the two agree. */
export const apiName = 'api.example.com';

export type HeaderLine = readonly [name: string, value: string];

/** What came out of a proxy, as the API behind it read it. */
export interface Arrival {
  readonly headers: readonly HeaderLine[];
  /** A number of the connection: equal for all requests that came over it. */
  readonly connection: number;
  /** `null` on a unix socket. */
  readonly peerAddress: string | null;
  /** In hex, where the hop is TLS and the proxy has a certificate. */
  readonly peerCertificate: string | null;
}

/** A status without an arrival is an answer of the proxy itself; `refused` is a handshake or connection that it ended. */
export interface Outcome {
  readonly status: number | 'refused';
  readonly arrival?: Arrival;
}

export interface RecordingApi {
  readonly upstream: number | string;
  close(): Promise<void>;
}

/** An API that guards nothing, and answers every request with what arrived of it. */
export async function startRecordingApi(options: {
  readonly socketPath?: string;
  readonly mutualTls?: Pki;
}): Promise<RecordingApi> {
  const connections: object[] = [];
  const answer = (req: IncomingMessage, res: ServerResponse): void => {
    if (!connections.includes(req.socket)) {
      connections.push(req.socket);
    }
    const peer: Partial<PeerCertificate> | undefined = (
      req.socket as Partial<TLSSocket>
    ).getPeerCertificate?.();
    const headers = Array.from({ length: req.rawHeaders.length / 2 }, (_, i) =>
      req.rawHeaders.slice(2 * i, 2 * i + 2),
    );
    const arrival = {
      headers,
      connection: connections.indexOf(req.socket),
      peerAddress: req.socket.remoteAddress ?? null,
      peerCertificate: peer?.raw?.toString('hex') ?? null,
    };
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify(arrival));
  };
  const server = (
    options.mutualTls ? createTlsServer(mutualTls(options.mutualTls), answer) : createServer(answer)
  ) as Server;
  server.listen(options.socketPath ? { path: options.socketPath } : { host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  return {
    upstream: options.socketPath ?? (server.address() as AddressInfo).port,
    close: () => close(server),
  };
}

export interface ProxyCall {
  readonly port: number;
  readonly pki: Pki;
  readonly identity?: Identity | undefined;
  readonly path?: string;
  readonly headers?: readonly HeaderLine[];
  readonly version?: 'TLSv1.2' | 'TLSv1.3' | undefined;
}

function tlsOptions({ port, pki, identity, version }: ProxyCall) {
  return {
    host: '127.0.0.1',
    servername: apiName,
    port,
    ca: pki.ca.cert,
    ...(identity && { cert: identity.cert, key: identity.key }),
    ...(version && { minVersion: version, maxVersion: version }),
  };
}

function outcome(status: number, body: string): Outcome {
  return body.startsWith('{"headers"') ? { status, arrival: JSON.parse(body) } : { status };
}

/** One request over HTTP/1.1, on a connection of its own; header lines go out as they are given. */
export function callProxy(call: ProxyCall): Promise<Outcome> {
  const { path = '/', headers = [] } = call;
  return new Promise((resolve) => {
    const options = {
      ...tlsOptions(call),
      path,
      agent: false as const,
      headers: [['Host', apiName], ...headers].flat() as never,
    };
    request(options, async (response) => {
      const body = await response.setEncoding('utf8').toArray();
      resolve(outcome(response.statusCode ?? 0, body.join('')));
    })
      .on('error', () => resolve({ status: 'refused' }))
      .end();
  });
}

/** Calls the proxy over HTTP/2, where a header that is sent twice is an array. */
export async function callProxyOverHttp2(call: ProxyCall): Promise<Outcome> {
  const { port, path = '/', headers = [] } = call;
  const grouped: Record<string, string | string[]> = {};
  for (const [name, value] of headers) {
    const earlier = grouped[name.toLowerCase()];
    grouped[name.toLowerCase()] = earlier === undefined ? value : [earlier, value].flat();
  }
  const session = connectHttp2(`https://${apiName}:${port}`, {
    createConnection: () => connect({ ...tlsOptions(call), ALPNProtocols: ['h2'] }),
  });
  // The stream below fails with it.
  session.on('error', () => undefined);
  try {
    const stream = session.request({ ':path': path, ':authority': apiName, ...grouped });
    const [answer] = await once(stream, 'response');
    const body = await stream.setEncoding('utf8').toArray();
    return outcome(Number(answer[':status']), body.join(''));
  } catch {
    return { status: 'refused' };
  } finally {
    session.destroy();
  }
}

/** A request in the very bytes given, and the session with which the same client may come back. */
export async function callProxyRaw(
  call: ProxyCall & { readonly lines?: readonly string[]; readonly session?: Buffer | undefined },
): Promise<Outcome & { readonly reused: boolean; readonly session: Buffer | undefined }> {
  const { path = '/', lines = [], session } = call;
  const socket = connect({ ...tlsOptions(call), session });
  socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
  let latest: Buffer | undefined;
  socket.on('session', (next: Buffer) => {
    latest = next;
  });
  try {
    await once(socket, 'secureConnect');
    const reused = socket.isSessionReused();
    const head = [`GET ${path} HTTP/1.1`, `Host: ${apiName}`, ...lines, 'Connection: close'];
    socket.write(`${head.join('\r\n')}\r\n\r\n`, 'latin1');
    const text = (await socket.setEncoding('latin1').toArray()).join('');
    const body = text.slice(text.indexOf('{"headers"'), text.lastIndexOf('}') + 1);
    return { ...outcome(Number(text.split(' ')[1]), body), reused, session: latest };
  } catch {
    return { status: 'refused', reused: false, session: latest };
  } finally {
    socket.destroy();
  }
}
