// A request with a DPoP proof against the one thing that no check of it can do without: the verification of its signature
// by a key that is at hand. The token is known, and each proof is another.
import { startChild } from './harness/child.js';
import { closeScenario, noiseOf } from './harness/close.js';
import { timeRatioOf, timeSummary } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';
import { isQuick } from './harness/settings.js';

const child = await startChild(new URL('./servers/dpop.ts', import.meta.url), {
  core: 'server',
  nodeOptions: ['--expose-gc'],
  profile: 'dpop',
});
const count = isQuick ? 50 : 1_500;
const measure = (name: string, algorithm: string) => async () => ({
  nanoseconds: await child.ask<number>('time', { name, algorithm, count }),
});
try {
  const names = {
    bare: 'node:crypto verify, ES256',
    ours: 'authorize() with a proof, ES256',
    jose: 'jose compactVerify, ES256',
    bareEdwards: 'node:crypto verify, EdDSA',
    oursEdwards: 'authorize() with a proof, EdDSA',
  };
  const again = `${names.bare} again`;
  const samples = await takeTurns(
    'dpop',
    {
      [names.bare]: measure('bare', 'ES256'),
      [names.ours]: measure('authorize', 'ES256'),
      [names.jose]: measure('jose', 'ES256'),
      [again]: measure('bare', 'ES256'),
      [names.bareEdwards]: measure('bare', 'EdDSA'),
      [names.oursEdwards]: measure('authorize', 'EdDSA'),
    },
    { rounds: 21, warmUp: 3 },
  );
  const time = (name: string) => samples.of(name, 'nanoseconds');
  const ratio = (of: string, over: string) => timeRatioOf(time(of), time(over), { max: 1.3 });
  closeScenario(
    {
      scenario: 'dpop',
      unit: 'nanoseconds of processor a request',
      rounds: samples.rounds,
      contestants: Object.fromEntries(Object.values(names).map((name) => [name, timeSummary(time(name))])),
      ratios: {
        [`${names.ours} / ${names.bare}`]: ratio(names.ours, names.bare),
        [`${names.oursEdwards} / ${names.bareEdwards}`]: ratio(names.oursEdwards, names.bareEdwards),
      },
    },
    { [`${again} / ${names.bare}`]: noiseOf(time(again), time(names.bare)) },
  );
} finally {
  await child.stop();
}
