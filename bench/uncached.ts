// The uncached path: each request has a token that nobody saw before, and the authorization server is asked about it.
import { closeScenario } from './harness/close.js';
import type { Loaded } from './harness/load.js';
import { type Goal, ratioOf, summaryOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';
import { headersFromNginx, setStage } from './harness/stage.js';

const CONNECTIONS = 32;
const SECONDS = 2;

const itself = 'the authorization server itself';
const byNodeFetch = 'express-mtls, node-fetch';
const byGlobalFetch = 'express-mtls, global fetch';

const stage = await setStage('uncached');
try {
  const nodeFetch = await stage.start('Express', 'express-mtls');
  const globalFetch = await stage.start('Express', 'express-mtls', { viaGlobalFetch: true });
  const [first] = stage.cast.clients as [(typeof stage.cast.clients)[number]];
  const [headers = {}] = headersFromNginx([first], (client) => client.opaqueTokens);

  /** With many connections for the rate, with one for the time that a request takes where nobody waits for another. */
  async function measure(url: string, isApi: boolean): Promise<Loaded> {
    const load = {
      url,
      headers: [isApi ? headers : { 'content-type': 'application/x-www-form-urlencoded' }],
      newTokens: { client: 0, in: isApi ? ('header' as const) : ('form' as const) },
      seconds: SECONDS,
    };
    const { requestsPerSecond } = await stage.versatile({ ...load, connections: CONNECTIONS });
    const { latency } = await stage.versatile({ ...load, connections: 1, seconds: SECONDS / 2 });
    return { requestsPerSecond, latency };
  }
  const api = (port: number) => measure(`http://127.0.0.1:${port}/accounts`, true);

  const samples = await takeTurns(
    'uncached',
    {
      [itself]: () => measure(stage.introspectionEndpoint, false),
      [byNodeFetch]: () => api(nodeFetch.port),
      [byGlobalFetch]: () => api(globalFetch.port),
    },
    { rounds: 7, warmUp: 2 },
  );
  const names = [itself, byNodeFetch, byGlobalFetch];
  const added = (name: string): number[] =>
    samples
      .of(name, 'latency')
      .map((each, round) => each - (samples.of(itself, 'latency')[round] ?? Number.NaN));
  const compared = (figure: 'requestsPerSecond', goal: Goal) =>
    ratioOf(samples.of(byNodeFetch, figure), samples.of(byGlobalFetch, figure), goal);
  closeScenario({
    scenario: 'uncached',
    unit: 'requests a second',
    rounds: samples.rounds,
    contestants: Object.fromEntries(
      names.map((name) => [
        name,
        {
          ...summaryOf(samples.of(name, 'requestsPerSecond')),
          latencyOfOneInMilliseconds: summaryOf(samples.of(name, 'latency')).median,
        },
      ]),
    ),
    ratios: {
      'requests a second, node-fetch / global fetch': compared('requestsPerSecond', { min: 0.8 }),
      "milliseconds that we add to the authorization server's": {
        ...summaryOf(added(byNodeFetch)),
        goal: { max: 2 },
      },
    },
  });
} finally {
  await stage.stop();
}
