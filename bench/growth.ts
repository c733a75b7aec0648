// What the cached path costs as tokens and certificates become more, and what each token takes of the heap.
import { thumbprintOf } from '@mtls-bound/core';
import { createCast } from './harness/cast.js';
import { type Clock, certificatesOf, startClock } from './harness/clock.js';
import { closeScenario } from './harness/close.js';
import { progress } from './harness/progress.js';
import { ratioOf, summaryOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';
import { isQuick } from './harness/settings.js';

const cast = await createCast();
const [one] = certificatesOf(cast) as [ReturnType<typeof certificatesOf>[number]];
const most = isQuick ? 2_000 : 1_000_000;
const manyCertificates = isQuick ? 20 : 10_000;

/** So many certificates of the usual length: one, with other bytes where its key stands. */
function certificates(count: number): ReturnType<typeof certificatesOf> {
  const der = cast.pki.alice.der;
  return Array.from({ length: count }, (_, i) => {
    if (i === 0) {
      return one;
    }
    const other = Buffer.from(der);
    other.writeUInt32BE(i, Math.floor(der.length / 2));
    const pem = `-----BEGIN CERTIFICATE-----\n${other.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
    return [encodeURIComponent(pem), thumbprintOf(other)] as const;
  });
}

const sizes: readonly (readonly [tokens: number, certificates: number])[] = [
  [1_000, 1],
  [10_000, 1],
  [100_000, 1],
  [1_000_000, 1],
  [10_000, 100],
  [10_000, 10_000],
];

const number = (value: number): string => value.toLocaleString('en');
const nameOf = (tokens: number, certificatesUsed: number): string =>
  `${number(tokens)} token${tokens === 1 ? '' : 's'}, ${number(certificatesUsed)} certificate${certificatesUsed === 1 ? '' : 's'}`;

const clocks = new Map<string, Clock>();
try {
  for (const [tokens, used] of sizes) {
    progress(`growth, learning ${nameOf(tokens, used)}`);
    const clock = await startClock({
      scenario: 'growth',
      tokens: Math.min(tokens, most),
      certificates: certificates(Math.min(used, manyCertificates)),
    });
    clocks.set(nameOf(tokens, used), clock);
  }
  const floors = new Map(
    [1_000, 1_000_000].map((tokens) => [`the floor, ${number(tokens)} tokens`, nameOf(tokens, 1)]),
  );
  const samples = await takeTurns(
    'growth',
    Object.fromEntries([
      ...[...clocks].map(([name, clock]) => [
        name,
        async () => ({ nanoseconds: await clock.time('authorize') }),
      ]),
      ...[...floors].map(([name, size]) => [
        name,
        async () => ({ nanoseconds: (await clocks.get(size)?.time('floor')) ?? Number.NaN }),
      ]),
    ]) as Record<string, () => Promise<{ nanoseconds: number }>>,
    { rounds: 7, warmUp: 1 },
  );
  const ns = (name: string) => samples.of(name, 'nanoseconds');
  const bytes = clocks.get(nameOf(1_000_000, 1))?.bytesPerToken ?? Number.NaN;
  closeScenario({
    scenario: 'growth',
    unit: 'nanoseconds a call',
    rounds: samples.rounds,
    contestants: Object.fromEntries([
      ...[...clocks].map(([name, { bytesPerToken }]) => [
        name,
        { ...summaryOf(ns(name)), heapBytesPerToken: Math.round(bytesPerToken) },
      ]),
      ...[...floors.keys()].map((name) => [name, summaryOf(ns(name))]),
    ]),
    ratios: {
      '1,000,000 tokens / 1,000 tokens': ratioOf(ns(nameOf(1_000_000, 1)), ns(nameOf(1_000, 1)), {
        max: 1.3,
      }),
      '10,000 certificates / 1 certificate': ratioOf(ns(nameOf(10_000, 10_000)), ns(nameOf(10_000, 1)), {
        max: 1.3,
      }),
      // Of one run; the heap is counted, not timed.
      'heap per token / 1,000 bytes': { ...summaryOf([bytes / 1000]), goal: { max: 1 } },
    },
  });
} finally {
  await Promise.all([...clocks.values()].map((clock) => clock.stop()));
}
