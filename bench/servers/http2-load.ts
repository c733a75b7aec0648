// Load over HTTP/2, which neither wrk nor autocannon can put on a server.
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { Load, Loaded } from '../harness/load.js';

/** Requests, where only a sign of life is wanted. */
const FEW = 20;

/** So many streams at once in each connection, each of which sends one request after the other. */
export async function loadHttp2({
  url,
  headers,
  connections,
  seconds,
  identity,
  streams = 1,
}: Load): Promise<Loaded> {
  const { origin, pathname } = new URL(url);
  const sessions = await Promise.all(
    Array.from({ length: connections }, async () => {
      // The server is a part of this benchmark, on the loopback interface.
      const session = connect(origin, { ...identity, rejectUnauthorized: false });
      await once(session, 'connect');
      return session;
    }),
  );
  let answered = 0;
  const started = performance.now();
  const isOver = (): boolean =>
    seconds > 0 ? performance.now() - started >= seconds * 1000 : answered >= FEW;
  const askOn = async (session: ClientHttp2Session, first: number): Promise<void> => {
    for (let number = first; !isOver(); number += 1) {
      await ask(session, pathname, headers[number % headers.length] ?? {});
      answered += 1;
    }
  };
  try {
    await Promise.all(
      sessions.flatMap((session, at) =>
        Array.from({ length: streams }, (_, stream) => askOn(session, at * streams + stream)),
      ),
    );
  } finally {
    for (const session of sessions) {
      session.destroy();
    }
  }
  const taken = (performance.now() - started) / 1000;
  return {
    requestsPerSecond: answered / taken,
    latency: (connections * streams * taken * 1000) / answered,
    requests: answered,
  };
}

function ask(session: ClientHttp2Session, path: string, headers: Load['headers'][number]): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path, ...headers });
    let status: number | undefined;
    stream.on('response', ({ ':status': found }) => {
      status = found;
    });
    stream.on('error', reject);
    stream.on('end', () => (status === 200 ? resolve() : reject(new Error(`an answer ${status}`))));
    stream.resume();
  });
}
