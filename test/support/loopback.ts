import type { AddressInfo } from 'node:net';

/** A server of net, tls, http, https or http2. */
interface Listening {
  listen(port: number, host: string, listening: () => void): unknown;
  address(): unknown;
  close(closed: () => void): unknown;
}

/** Listens on a free loopback port and resolves with it. */
export async function listen(server: Listening, port = 0): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Closes a server with all of its connections. */
export async function close(
  server: Pick<Listening, 'close'> & { closeAllConnections?(): void },
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections?.();
  await closed;
}
