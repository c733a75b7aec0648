// The load generator that needs no program of the system, in a process of its own.
import { createPrivateKey, type JsonWebKey, randomBytes, sign } from 'node:crypto';
import autocannon from 'autocannon';
import { claimsOf } from '../harness/cast.js';
import { whenAsked } from '../harness/child.js';
import type { Load, Loaded } from '../harness/load.js';
import { loadHttp2 } from './http2-load.js';

/** Requests, where only a sign of life is wanted. */
const FEW = 20;

whenAsked({ load: (load: Load) => (load.streams === undefined ? loadByAutocannon(load) : loadHttp2(load)) });

async function loadByAutocannon({
  url,
  headers,
  numbers,
  connections,
  seconds,
  identity,
  newTokens,
}: Load): Promise<Loaded> {
  let requests: autocannon.Request[] = headers.map((each) => ({ method: 'GET', headers: { ...each } }));
  if (numbers !== undefined) {
    const [first = {}] = headers;
    requests = [{ setupRequest: numbered(first, numbers) }];
  }
  if (newTokens !== undefined) {
    const next = tokensOf(newTokens);
    const [first = {}] = headers;
    requests = [{ setupRequest: newTokens.in === 'form' ? asForm(first, next) : inHeader(first, next) }];
  }
  const started = performance.now();
  const result = await autocannon({
    url,
    requests,
    connections,
    // It ends with a sample.
    ...(seconds > 0
      ? { duration: seconds, sampleInt: Math.min(seconds * 1000, 1000) }
      : { amount: FEW, sampleInt: 50 }),
    tlsOptions: { ...identity },
  });
  const taken = seconds > 0 ? result.duration : (performance.now() - started) / 1000;
  const answered = result['2xx'];
  if (result.non2xx > 0 || result.errors > 0 || answered === 0) {
    throw new Error(
      `${result.non2xx} answers other than 200, ${result.errors} errors, ${answered} answers 200`,
    );
  }
  return {
    requestsPerSecond: answered / taken,
    // By Little's law: autocannon's own figures are whole milliseconds.
    latency: (connections * taken * 1000) / answered,
    requests: answered,
  };
}

type Setup = (request: autocannon.Request) => autocannon.Request;

function numbered(headers: Load['headers'][number], numbers: number): Setup {
  return (request) => {
    const number = String(Math.floor(Math.random() * numbers)).padStart(8, '0');
    const filled = Object.entries(headers).map(([name, value]) => [name, value.replace('{number}', number)]);
    return { ...request, method: 'GET', headers: Object.fromEntries(filled) };
  };
}

function inHeader(headers: Load['headers'][number], next: () => string): Setup {
  return (request) => ({
    ...request,
    method: 'GET',
    headers: { ...headers, Authorization: `Bearer ${next()}` },
  });
}

function asForm(headers: Load['headers'][number], next: () => string): Setup {
  return (request) => ({
    ...request,
    method: 'POST',
    headers: { ...headers },
    body: `token=${next()}`,
  });
}

const run = randomBytes(16).toString('base64url');
let made = 0;

function tokensOf({ client, signed }: NonNullable<Load['newTokens']>): () => string {
  const nextName = (): string => {
    made += 1;
    return `${client}-${run}${made}`;
  };
  if (signed === undefined) {
    return nextName;
  }
  const key = createPrivateKey({ key: signed.privateJwk as JsonWebKey, format: 'jwk' });
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = part({ alg: 'ES256', typ: 'at+jwt', kid: 'bench' });
  return () => {
    const content = `${header}.${part(claimsOf(signed.thumbprint, nextName()))}`;
    const signature = sign('sha256', Buffer.from(content), { key, dsaEncoding: 'ieee-p1363' });
    return `${content}.${signature.toString('base64url')}`;
  };
}
