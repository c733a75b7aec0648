// authorize() alone, on a token and a certificate that are known, against what no such check can do without.
import { createCast } from './harness/cast.js';
import { certificatesOf, startClock } from './harness/clock.js';
import { closeScenario } from './harness/close.js';
import { ratioOf, summaryOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';

const clock = await startClock({
  scenario: 'authorize',
  tokens: 100,
  certificates: certificatesOf(await createCast()),
});
try {
  const samples = await takeTurns(
    'authorize',
    {
      'the floor': async () => ({ nanoseconds: await clock.time('floor') }),
      'authorize()': async () => ({ nanoseconds: await clock.time('authorize') }),
    },
    { rounds: 9, warmUp: 2 },
  );
  const floor = samples.of('the floor', 'nanoseconds');
  const ours = samples.of('authorize()', 'nanoseconds');
  closeScenario({
    scenario: 'authorize',
    unit: 'nanoseconds a call',
    rounds: samples.rounds,
    contestants: { 'the floor': summaryOf(floor), 'authorize()': summaryOf(ours) },
    ratios: { 'authorize() / the floor': ratioOf(ours, floor, { max: 3 }) },
  });
} finally {
  await clock.stop();
}
