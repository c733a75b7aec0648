// The cached path of proxyHeader(), against a plain Map look-up of the same header text. The header was recorded from a
// real NGINX with the client certificate of an RSA-4096 key. Every look-up gets a text of its own, as a request does:
// a text that was hashed before would flatter the Map.
import { readFileSync } from 'node:fs';
import { nginx, proxyHeader, thumbprintOf } from '@mtls-bound/core';
import { closeScenario } from './harness/close.js';
import { ratioOf, summaryOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';

const header = readFileSync(new URL('recorded/nginx-rsa-4096.txt', import.meta.url), 'latin1').trim();
const bytes = Buffer.from(header, 'latin1');
const lookups = 200;

const source = proxyHeader(nginx(), { trust: ['loopback', '10.0.0.0/8'] });
const socket = { remoteAddress: '10.0.0.7', destroyed: false };
const request = (text: string) =>
  ({
    socket,
    headers: {},
    rawHeaders: [
      'Host',
      'api.example.com',
      'User-Agent',
      'bench',
      'Accept',
      '*/*',
      'Authorization',
      'Bearer opaque-token-of-some-length-0123456789',
      'X-Forwarded-For',
      '198.51.100.7',
      'X-SSL-Client-Cert',
      text,
      'X-SSL-Client-Verify',
      'SUCCESS',
      'Connection',
      'keep-alive',
    ],
  }) as never;

const certificate = source(request(header));
if (certificate?.der === undefined || certificate.thumbprint !== thumbprintOf(certificate.der)) {
  throw new Error('the recorded header gave no certificate');
}
const map = new Map([[header, certificate]]);

/** Nanoseconds per look-up. The texts and requests are made before the clock starts. */
function time(look: (request: { rawHeaders: string[] }) => unknown): number {
  const requests = Array.from({ length: lookups }, () => request(bytes.toString('latin1')));
  let found = 0;
  const start = process.hrtime.bigint();
  for (const each of requests) {
    found += look(each) === certificate ? 1 : 0;
  }
  const taken = Number(process.hrtime.bigint() - start);
  if (found !== lookups) {
    throw new Error('a look-up found something else');
  }
  return taken / lookups;
}

const contestants = {
  'Map look-up': (each: { rawHeaders: string[] }) => map.get(each.rawHeaders[11] as string),
  proxyHeader: (each: { rawHeaders: string[] }) => source(each as never),
};

const samples = await takeTurns(
  'header-source',
  Object.fromEntries(
    Object.entries(contestants).map(([name, look]) => [name, () => ({ nanoseconds: time(look) })]),
  ),
  { rounds: 101, warmUp: 3 },
);
const ns = (name: keyof typeof contestants) => samples.of(name, 'nanoseconds');
closeScenario({
  scenario: 'header-source',
  unit: 'nanoseconds a look-up',
  rounds: samples.rounds,
  contestants: {
    'Map look-up': summaryOf(ns('Map look-up')),
    proxyHeader: summaryOf(ns('proxyHeader')),
  },
  ratios: { 'proxyHeader / Map look-up': ratioOf(ns('proxyHeader'), ns('Map look-up'), { max: 2 }) },
});
