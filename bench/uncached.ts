// The uncached path: each request has a new token, and the authorization server is asked about it.
import { closeScenario, noiseOf } from './harness/close.js';
import { summaryOf, timeRatioOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';
import {
  type Api,
  type ApiFigure,
  apiSummary,
  headersFromNginx,
  loaded,
  setStage,
  WARM_UP,
} from './harness/stage.js';

const CONNECTIONS = 32;
const SECONDS = 1;
/** V8 optimizes the code of an exchange only after some thousand of them, in each process: an exchange takes long. */
const LONG_WARM_UP = 5 * WARM_UP;

/** The least that an exchange takes, without any check. */
const floor = 'https.request';
const again = `${floor} again`;
const ours = 'express-mtls';
const byGlobalFetch = 'express-mtls, global fetch';
const names = [floor, 'node-fetch', 'global fetch', ours, byGlobalFetch, again];

const stage = await setStage('uncached');
try {
  const apis = new Map<string, () => Api>();
  for (const name of names) {
    const more = { viaGlobalFetch: name === byGlobalFetch };
    apis.set(name, await stage.start('Express', name === byGlobalFetch ? ours : name, more, name));
  }
  const [first] = stage.cast.clients as [(typeof stage.cast.clients)[number]];
  const [headers = {}] = headersFromNginx([first], (client) => client.opaqueTokens);

  /** With many connections for the processor time, with one for the time that a request takes where none waits for another. */
  async function measure(name: string): Promise<Record<ApiFigure, number>> {
    const api = (apis.get(name) as () => Api)();
    const load = {
      url: `http://127.0.0.1:${api.port}/accounts`,
      headers: [headers],
      newTokens: { client: 0, in: 'header' as const },
      seconds: SECONDS,
    };
    // While the others had their turns, connections to the authorization server were idle for too long.
    await loaded(api, stage.versatile, { ...load, connections: CONNECTIONS, seconds: SECONDS / 2 });
    const measured = await loaded(api, stage.versatile, { ...load, connections: CONNECTIONS });
    const alone = { ...load, connections: 1, seconds: SECONDS / 2 };
    const { latency } = await loaded(api, stage.versatile, alone);
    return { ...measured, latency };
  }

  const samples = await takeTurns(
    'uncached',
    Object.fromEntries(names.map((name) => [name, () => measure(name)])),
    { rounds: 21, warmUp: LONG_WARM_UP },
  );
  const time = (name: string) => samples.of(name, 'microseconds');
  closeScenario(
    {
      scenario: 'uncached',
      unit: 'microseconds of processor a request',
      rounds: samples.rounds,
      contestants: Object.fromEntries(
        names.map((name) => [
          name,
          {
            ...apiSummary(samples, name),
            latencyOfOneInMilliseconds: summaryOf(samples.of(name, 'latency')).median,
          },
        ]),
      ),
      ratios: {
        [`${ours} / ${floor}`]: timeRatioOf(time(ours), time(floor), { max: 1.6 }),
        [`${ours} / node-fetch`]: timeRatioOf(time(ours), time('node-fetch'), { max: 1.25 }),
      },
    },
    { [`${again} / ${floor}`]: noiseOf(time(again), time(floor)) },
  );
} finally {
  await stage.stop();
}
