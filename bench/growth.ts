// What the cached path costs as tokens and certificates become more, and what each token takes of the heap.
import { thumbprintOf } from '@mtls-bound/core';
import { createCast, numberedToken } from './harness/cast.js';
import { type Clock, certificatesOf, startClock } from './harness/clock.js';
import { closeScenario, noiseOf } from './harness/close.js';
import { startLoadGenerator } from './harness/load.js';
import { progress } from './harness/progress.js';
import { type Goal, quartileOf, ratioOf, summaryOf, timeRatioOf, timeSummary } from './harness/record.js';
import { type Measured, takeTurns } from './harness/rounds.js';
import { isQuick } from './harness/settings.js';
import { type ApiFigure, headersFromNginx, loaded } from './harness/stage.js';

const cast = await createCast();
const [one] = certificatesOf(cast) as [ReturnType<typeof certificatesOf>[number]];
const most = isQuick ? 2_000 : 1_000_000;
const manyCertificates = isQuick ? 20 : 10_000;

/**
 * So many certificates of the usual length: one, with other bytes where its key and its signature stand. No two
 * certificates of an authority have one signature.
 */
function certificates(count: number): ReturnType<typeof certificatesOf> {
  const der = cast.pki.alice.der;
  return Array.from({ length: count }, (_, i) => {
    if (i === 0) {
      return one;
    }
    const other = Buffer.from(der);
    other.writeUInt32BE(i, Math.floor(der.length / 2));
    other.writeUInt32BE(i, der.length - 48);
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

async function underLoad(clock: Clock, tokens: number) {
  const port = await clock.serve();
  const [headers = {}] = headersFromNginx(cast.clients.slice(0, 1), () => [numberedToken('{number}')]);
  return () =>
    loaded({ port, pid: clock.pid }, generator.plain, {
      url: `http://127.0.0.1:${port}/accounts`,
      headers: [headers],
      numbers: tokens,
      connections: 32,
      seconds: 1,
    });
}

const number = (value: number): string => value.toLocaleString('en');
const nameOf = (tokens: number, certificatesUsed: number): string =>
  `${number(tokens)} token${tokens === 1 ? '' : 's'}, ${number(certificatesUsed)} certificate${certificatesUsed === 1 ? '' : 's'}`;

const clocks = new Map<string, Clock>();
const generator = await startLoadGenerator();
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
  const floorOf = (name: string): string => `the floor, ${name}`;
  const again = `${floorOf(nameOf(1_000, 1))}, again`;
  const samples = await takeTurns(
    'growth',
    Object.fromEntries([
      ...[...clocks].map(([name, clock]) => [
        name,
        async () => ({ nanoseconds: await clock.time('authorize') }),
      ]),
      ...[...clocks].map(([name, clock]) => [
        floorOf(name),
        async () => ({ nanoseconds: await clock.time('floor') }),
      ]),
      [
        again,
        async () => ({ nanoseconds: (await clocks.get(nameOf(1_000, 1))?.time('floor')) ?? Number.NaN }),
      ],
    ]) as Record<string, () => Promise<{ nanoseconds: number }>>,
    { rounds: 21, warmUp: 1 },
  );
  const few = nameOf(1_000, 1);
  const many = nameOf(1_000_000, 1);
  const behindExpress = await takeTurns(
    'growth behind Express',
    Object.fromEntries(
      await Promise.all(
        [[few, 1_000] as const, [many, 1_000_000] as const].map(async ([name, tokens]) => [
          name,
          await underLoad(clocks.get(name) as Clock, Math.min(tokens, most)),
        ]),
      ),
    ) as Record<string, () => Promise<Measured<ApiFigure>>>,
    { rounds: 21, warmUp: 3 },
  );
  const request = (name: string) => behindExpress.of(name, 'microseconds');
  const ns = (name: string) => samples.of(name, 'nanoseconds');
  /** How much slower we become on more data, over how much slower the floor becomes on the same. */
  const growthOf = (large: string, small: string) => {
    const goal: Goal = { max: 1.2 };
    const ours = ns(large).map((each, round) => each / (ns(small)[round] ?? Number.NaN));
    const floor = ns(floorOf(large)).map((each, round) => each / (ns(floorOf(small))[round] ?? Number.NaN));
    const quartiles = [large, small, floorOf(large), floorOf(small)].map((name) => quartileOf(ns(name)));
    const [a = 0, b = 0, c = 0, d = 0] = quartiles;
    return { ...ratioOf(ours, floor, goal), lowerQuartiles: Number((a / b / (c / d)).toFixed(3)) };
  };
  const bytes = clocks.get(many)?.bytesPerToken ?? Number.NaN;
  closeScenario(
    {
      scenario: 'growth',
      unit: 'nanoseconds a call',
      rounds: samples.rounds,
      contestants: Object.fromEntries([
        ...[...clocks].map(([name, { bytesPerToken }]) => [
          name,
          {
            ...timeSummary(ns(name)),
            // Of few tokens the heap shows the rest of the program.
            ...([nameOf(100_000, 1), many].includes(name) && {
              heapBytesPerToken: Math.round(bytesPerToken),
            }),
          },
        ]),
        ...[...clocks.keys()].map((name) => [floorOf(name), timeSummary(ns(floorOf(name)))]),
      ]),
      ratios: {
        'time of a request behind Express, 1,000,000 tokens / 1,000 tokens': timeRatioOf(
          request(many),
          request(few),
          { max: 1.3 },
        ),
        "growth of authorize() to 1,000,000 tokens / the floor's": growthOf(many, few),
        "growth of authorize() to 10,000 certificates / the floor's": growthOf(
          nameOf(10_000, 10_000),
          nameOf(10_000, 1),
        ),
        // Of one run; the heap is counted, not timed.
        'heap per token / 1,000 bytes': { ...summaryOf([bytes / 1000]), goal: { max: 0.85 } },
      },
    },
    { [`${again} / the floor`]: noiseOf(ns(again), ns(floorOf(nameOf(1_000, 1)))) },
  );
} finally {
  await Promise.all([generator, ...clocks.values()].map((each) => each.stop()));
}
