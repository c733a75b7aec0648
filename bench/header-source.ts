// The cached path of proxyHeader(), against a plain Map look-up of the same header text. The header was recorded from a
// real NGINX with the client certificate of an RSA-4096 key. Every look-up gets a text of its own, as a request does:
// a text that was hashed before would flatter the Map.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { nginx, proxyHeader, thumbprintOf } from '@mtls-bound/core';

const here = new URL('.', import.meta.url);
const header = readFileSync(new URL('recorded/nginx-rsa-4096.txt', here), 'latin1').trim();
const bytes = Buffer.from(header, 'latin1');
const rounds = 101;
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
type Name = keyof typeof contestants;
const names = Object.keys(contestants) as Name[];

const samples: Record<Name, number[]> = { 'Map look-up': [], proxyHeader: [] };
for (let round = -3; round < rounds; round += 1) {
  // The first rounds warm up; then the contestants take turns at going first.
  for (const name of round % 2 === 0 ? names : names.toReversed()) {
    const taken = time(contestants[name]);
    if (round >= 0) {
      samples[name].push(taken);
    }
  }
}

const summary = (values: readonly number[]) => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (position: number) => Number((sorted[Math.floor(position)] ?? Number.NaN).toFixed(3));
  return { median: at((sorted.length - 1) / 2), min: at(0), max: at(sorted.length - 1) };
};
const ratios = samples.proxyHeader.map(
  (taken, round) => taken / (samples['Map look-up'][round] ?? Number.NaN),
);
const record = {
  scenario: 'header-source',
  unit: 'ns per look-up',
  machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  headerLength: header.length,
  rounds,
  contestants: Object.fromEntries(names.map((name) => [name, summary(samples[name])])),
  ratios: { 'proxyHeader / Map look-up': { ...summary(ratios), goal: { max: 2 } } },
};
mkdirSync(new URL('results/', here), { recursive: true });
writeFileSync(new URL('results/header-source.json', here), `${JSON.stringify(record, null, 2)}\n`);
console.log(JSON.stringify(record, null, 2));
