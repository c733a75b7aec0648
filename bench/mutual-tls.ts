// The cached path with the server itself ending mutual TLS: Node, and Apache httpd with the module that does the same in C.

import { startApache } from './harness/apache.js';
import { floor, floorWithDuties } from './harness/cached-path.js';
import { closeScenario, noiseOf } from './harness/close.js';
import { startMutualTlsLoad } from './harness/mutual-tls-load.js';
import { timeRatioOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';
import { type Api, apiSummary, loaded, setStage, WARM_UP } from './harness/stage.js';

const CONNECTIONS = 16;
const SECONDS = 1;

const apache = 'Apache with mod_oauth2';
const frameworks = { Express: 'express-mtls', Koa: 'koa-mtls' } as const;

const stage = await setStage('mutual-tls');
const { pki, clients } = stage.cast;
const [client] = clients as [(typeof clients)[number]];
const busyLoad = await startMutualTlsLoad(client.identity);
const contestants = new Map<string, () => Api>();
const skipped: Record<string, string> = {};
const stops = busyLoad === undefined ? [] : [busyLoad.stop];
try {
  for (const [framework, ours] of Object.entries(frameworks)) {
    for (const [name, contestant] of [
      [`bare ${framework}`],
      [`the floor in ${framework}`, floor],
      [`${floorWithDuties} in ${framework}`, floorWithDuties],
      [ours],
      [`bare ${framework} again`],
    ] as [string, string?][]) {
      const api = await stage.start(
        framework as keyof typeof frameworks,
        contestant ?? name,
        { tls: pki.server },
        name,
      );
      contestants.set(name, api);
    }
  }
  for (const name of ['bare Apache', apache]) {
    const endpoint = name === apache ? stage.introspectionEndpoint : undefined;
    const started = await startApache(pki, endpoint);
    if (typeof started === 'string') {
      skipped[name] = started;
    } else {
      contestants.set(name, () => started);
      stops.push(started.stop);
    }
  }
  const measure = (api: Api) =>
    loaded(api, busyLoad?.generate ?? stage.versatile, {
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
    Object.fromEntries([...contestants].map(([name, api]) => [name, () => measure(api())])),
    { rounds: 21, warmUp: WARM_UP },
  );
  const time = (name: string) => samples.of(name, 'microseconds');
  closeScenario(
    {
      scenario: 'mutual-tls',
      unit: 'microseconds of processor a request',
      rounds: samples.rounds,
      ...(Object.keys(skipped).length > 0 && { skipped }),
      contestants: Object.fromEntries(
        [...contestants.keys()].map((name) => [name, apiSummary(samples, name)]),
      ),
      ratios: {
        ...Object.fromEntries(
          Object.entries(frameworks).flatMap(([framework, ours]) =>
            [floor, floorWithDuties].map((base) => [
              `${ours} / ${base} in ${framework}`,
              timeRatioOf(time(ours), time(`${base} in ${framework}`), { max: 1.1 }),
            ]),
          ),
        ),
        ...(contestants.has(apache) && {
          [`${apache} / express-mtls`]: timeRatioOf(time(apache), time('express-mtls'), { min: 2 }),
        }),
      },
    },
    Object.fromEntries(
      Object.keys(frameworks).map((framework) => [
        `bare ${framework} again / bare ${framework}`,
        noiseOf(time(`bare ${framework} again`), time(`bare ${framework}`)),
      ]),
    ),
  );
} finally {
  await Promise.all(stops.map((stop) => stop()));
  await stage.stop();
}
