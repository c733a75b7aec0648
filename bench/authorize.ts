// authorize() on a token and a certificate that are known, against what no such check can do without: alone in a loop, and in
// place, in a server under load, where other code uses the processor's caches between two calls.
import { createCast } from './harness/cast.js';
import { certificatesOf, startClock } from './harness/clock.js';
import { closeScenario, noiseOf } from './harness/close.js';
import { timeRatioOf, timeSummary } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';
import { headersFromNginx, setStage, WARM_UP } from './harness/stage.js';

const clock = await startClock({
  scenario: 'authorize',
  tokens: 100,
  certificates: certificatesOf(await createCast()),
});
const stage = await setStage('authorize');
try {
  /** Gives nanoseconds of a call within a server, in the median of one load. */
  async function startInPlace(contestant: string) {
    const next = await stage.start('Express', contestant);
    const load = (port: number) =>
      stage.plain({
        url: `http://127.0.0.1:${port}/accounts`,
        headers: headersFromNginx(stage.cast.clients, (client) => client.opaqueTokens),
        connections: 32,
        seconds: 1,
      });
    const loadedPorts = new Set<number>();
    return async () => {
      const { port, child } = next();
      if (!loadedPorts.has(port)) {
        // From now on this process knows every token.
        await load(port);
        loadedPorts.add(port);
      }
      await load(port);
      return { nanoseconds: await child.ask<number>('nanosecondsInPlace') };
    };
  }
  const samples = await takeTurns(
    'authorize',
    {
      'the floor': async () => ({ nanoseconds: await clock.time('floor') }),
      'authorize()': async () => ({ nanoseconds: await clock.time('authorize') }),
      'the floor in place': await startInPlace('the floor in place'),
      'the floor with the duties in place': await startInPlace('the floor with the duties in place'),
      'authorize() in place': await startInPlace('authorize() in place'),
      'the floor in place again': await startInPlace('the floor in place again'),
      'the floor again': async () => ({ nanoseconds: await clock.time('floor') }),
    },
    { rounds: 21, warmUp: WARM_UP },
  );
  const time = (name: string) => samples.of(name, 'nanoseconds');
  const names = [
    'the floor',
    'authorize()',
    'the floor in place',
    'the floor with the duties in place',
    'authorize() in place',
  ];
  closeScenario(
    {
      scenario: 'authorize',
      unit: 'nanoseconds a call',
      rounds: samples.rounds,
      contestants: Object.fromEntries(names.map((name) => [name, timeSummary(time(name))])),
      ratios: {
        'authorize() / the floor': timeRatioOf(time('authorize()'), time('the floor'), { max: 1.15 }),
        'authorize() in place / the floor in place': timeRatioOf(
          time('authorize() in place'),
          time('the floor in place'),
          { max: 1.15 },
        ),
        'authorize() in place / the floor with the duties in place': timeRatioOf(
          time('authorize() in place'),
          time('the floor with the duties in place'),
          { max: 1.1 },
        ),
      },
    },
    {
      'the floor again / the floor': noiseOf(time('the floor again'), time('the floor')),
      'the floor in place again / the floor in place': noiseOf(
        time('the floor in place again'),
        time('the floor in place'),
      ),
    },
  );
} finally {
  await Promise.all([clock.stop(), stage.stop()]);
}
