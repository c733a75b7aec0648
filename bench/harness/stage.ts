import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiSetup } from '../contestants/setup.js';
import { type Cast, type Client, createCast, nginxHeader } from './cast.js';
import { type Child, startChild } from './child.js';
import { processorNanoseconds } from './cores.js';
import { type Load, type LoadGenerator, startLoadGenerator } from './load.js';
import { summaryOf, timeSummary } from './record.js';
import type { Measured, Samples } from './rounds.js';
import { isQuick, profiles } from './settings.js';

export type ApiFigure = 'requestsPerSecond' | 'microseconds' | 'latency';

/** A server under load. */
export interface Api {
  readonly port: number;
  readonly pid: number;
}

/** A server of ours, which can be asked for more. */
export interface AskedApi extends Api {
  readonly child: Pick<Child, 'ask'>;
}

/** Everything that a scenario over HTTP needs around its contestants. */
export interface Stage {
  readonly cast: Cast;
  readonly introspectionEndpoint: string;
  readonly plain: LoadGenerator;
  readonly versatile: LoadGenerator;
  /** Starts the processes of a contestant. Each call of what it gives returns the next one, for one round. */
  start(
    framework: 'Express' | 'Koa',
    contestant: string,
    more?: Pick<ApiSetup, 'tls' | 'http2' | 'viaGlobalFetch'>,
    /** What the record calls it. Default: `contestant`. */
    name?: string,
  ): Promise<() => AskedApi>;
  stop(): Promise<void>;
}

/**
 * How many processes of a contestant take turns. V8 optimizes the same code in another order in each process, so that one
 * process is up to a tenth faster than the next. Under `--profile` one: the profilers of many processes load the machine.
 */
const PROCESSES = isQuick || profiles !== undefined ? 1 : 3;

/** Rounds that warm up: two for each process. */
export const WARM_UP = 2 * PROCESSES;

export async function setStage(scenario: string): Promise<Stage> {
  const cast = await createCast();
  const { ca, server } = cast.pki;
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-bench-'));
  const authorities = join(folder, 'ca.pem');
  writeFileSync(authorities, ca.cert);
  const authorizationServer = await startChild(
    new URL('../servers/authorization-server.ts', import.meta.url),
    {
      core: 'load',
    },
  );
  const introspectionEndpoint = await authorizationServer.ask<string>('start', {
    cert: server.cert,
    key: server.key,
    thumbprints: cast.clients.map(({ identity }) => identity.thumbprint),
    publicJwk: cast.publicJwk,
  });
  const generator = await startLoadGenerator();
  const children: Child[] = [];
  return {
    cast,
    introspectionEndpoint,
    plain: generator.plain,
    versatile: generator.versatile,
    async start(framework, contestant, more, name = contestant) {
      const { publicJwk } = cast;
      const setup: ApiSetup = { contestant, introspectionEndpoint, ca: ca.cert, publicJwk, ...more };
      const startProcess = async (): Promise<AskedApi> => {
        const child = await startChild(new URL('../servers/api.ts', import.meta.url), {
          core: 'server',
          profile: `${scenario} ${name}`,
          environment: { NODE_EXTRA_CA_CERTS: authorities },
        });
        children.push(child);
        return { port: await child.ask<number>('start', { framework, ...setup }), pid: child.pid, child };
      };
      const first = await startProcess();
      const apis = [first];
      while (apis.length < PROCESSES) {
        apis.push(await startProcess());
      }
      let round = 0;
      return () => {
        const api = apis[round % apis.length] ?? first;
        round += 1;
        return api;
      };
    },
    async stop() {
      await Promise.all([generator, authorizationServer, ...children].map((each) => each.stop()));
      rmSync(folder, { recursive: true });
    },
  };
}

/** Puts a load on a server. `microseconds` are those of processor that it takes for a request. */
export async function loaded(api: Api, generator: LoadGenerator, load: Load): Promise<Measured<ApiFigure>> {
  const before = processorNanoseconds(api.pid);
  const { requestsPerSecond, latency, requests } = await generator(load);
  const microseconds = (processorNanoseconds(api.pid) - before) / 1000 / requests;
  return { requestsPerSecond, latency, microseconds };
}

/** What the record has of a server: the processor time of a request, and the rate next to it. */
export function apiSummary(samples: Samples<ApiFigure>, contestant: string) {
  return {
    ...timeSummary(samples.of(contestant, 'microseconds')),
    requestsPerSecond: summaryOf(samples.of(contestant, 'requestsPerSecond')).median,
  };
}

/** What NGINX sends on, once for each token of each client. */
export function headersFromNginx(
  clients: readonly Client[],
  tokens: (client: Client) => readonly string[],
): Record<string, string>[] {
  return clients.flatMap((client) =>
    tokens(client).map((token) => ({
      Connection: 'keep-alive',
      'X-Forwarded-For': '198.51.100.7',
      'X-SSL-Client-Cert': nginxHeader(client.identity),
      'X-SSL-Client-Verify': 'SUCCESS',
      'User-Agent': 'bench',
      Accept: 'application/json',
      Authorization: `Bearer ${token}`,
    })),
  );
}
