// The cached path with the server itself ending mutual TLS: Node, and Apache httpd with the module that does the same in C.

import { startApache } from './harness/apache.js';
import { closeScenario } from './harness/close.js';
import { type Goal, ratioOf, summaryOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';
import { type Api, type ApiFigure, loaded, setStage } from './harness/stage.js';

const CONNECTIONS = 16;
const SECONDS = 1;

const bare = 'bare Express';
const ours = 'express-mtls';
const apache = 'Apache with mod_oauth2';

const stage = await setStage('mutual-tls');
const { pki, clients } = stage.cast;
const [client] = clients as [(typeof clients)[number]];
const contestants = new Map<string, Api>();
const skipped: Record<string, string> = {};
const stops: (() => Promise<void>)[] = [];
try {
  for (const name of [bare, ours]) {
    contestants.set(name, await stage.start('Express', name, { tls: pki.server }));
  }
  for (const name of ['bare Apache', apache]) {
    const endpoint = name === apache ? stage.introspectionEndpoint : undefined;
    const started = await startApache(pki, endpoint);
    if (typeof started === 'string') {
      skipped[name] = started;
    } else {
      contestants.set(name, started);
      stops.push(started.stop);
    }
  }
  const measure = (api: Api) =>
    loaded(api, stage.versatile, {
      url: `https://127.0.0.1:${api.port}/accounts`,
      headers: client.opaqueTokens.map((token) => ({
        Accept: 'application/json',
        Authorization: `Bearer ${token}`,
      })),
      identity: client.identity,
      connections: CONNECTIONS,
      seconds: SECONDS,
    });
  const samples = await takeTurns(
    'mutual-tls',
    Object.fromEntries([...contestants].map(([name, api]) => [name, () => measure(api)])),
    { rounds: 21, warmUp: 4 },
  );
  const compared = (base: string, figure: ApiFigure, goal: Goal) =>
    ratioOf(samples.of(ours, figure), samples.of(base, figure), goal);
  closeScenario({
    scenario: 'mutual-tls',
    unit: 'requests a second',
    rounds: samples.rounds,
    ...(Object.keys(skipped).length > 0 && { skipped }),
    contestants: Object.fromEntries(
      [...contestants.keys()].map((name) => [
        name,
        {
          ...summaryOf(samples.of(name, 'requestsPerSecond')),
          perCpuSecond: summaryOf(samples.of(name, 'perCpuSecond')).median,
        },
      ]),
    ),
    ratios: {
      [`${ours} / ${bare}`]: compared(bare, 'requestsPerSecond', { min: 0.97 }),
      ...(contestants.has(apache) && {
        [`${ours} / ${apache}, per core used`]: compared(apache, 'perCpuSecond', { min: 2 }),
      }),
    },
  });
} finally {
  await Promise.all(stops.map((stop) => stop()));
  await stage.stop();
}
