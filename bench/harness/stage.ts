import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiSetup } from '../contestants/setup.js';
import { type Cast, type Client, createCast, nginxHeader } from './cast.js';
import { type Child, startChild } from './child.js';
import { cpuSeconds } from './cores.js';
import { type Load, type LoadGenerator, startLoadGenerator } from './load.js';
import type { Measured } from './rounds.js';

export type ApiFigure = 'requestsPerSecond' | 'perCpuSecond' | 'latency';

/** A server under load. */
export interface Api {
  readonly port: number;
  readonly pid: number;
}

/** Everything that a scenario over HTTP needs around its contestants. */
export interface Stage {
  readonly cast: Cast;
  readonly introspectionEndpoint: string;
  readonly plain: LoadGenerator;
  readonly versatile: LoadGenerator;
  start(
    framework: 'Express' | 'Koa',
    contestant: string,
    more?: Pick<ApiSetup, 'tls' | 'viaGlobalFetch'>,
  ): Promise<Api>;
  stop(): Promise<void>;
}

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
  });
  const generator = await startLoadGenerator();
  const children: Child[] = [];
  return {
    cast,
    introspectionEndpoint,
    plain: generator.plain,
    versatile: generator.versatile,
    async start(framework, contestant, more) {
      const child = await startChild(new URL('../servers/api.ts', import.meta.url), {
        core: 'server',
        profile: `${scenario} ${contestant}`,
        environment: { NODE_EXTRA_CA_CERTS: authorities },
      });
      children.push(child);
      const { publicJwk } = cast;
      const setup: ApiSetup = { contestant, introspectionEndpoint, ca: ca.cert, publicJwk, ...more };
      return { port: await child.ask<number>('start', { framework, ...setup }), pid: child.pid };
    },
    async stop() {
      await Promise.all([generator, authorizationServer, ...children].map((each) => each.stop()));
      rmSync(folder, { recursive: true });
    },
  };
}

/** Puts a load on a server, and reads off what it took of the processor. */
export async function loaded(api: Api, generator: LoadGenerator, load: Load): Promise<Measured<ApiFigure>> {
  const before = { cpu: cpuSeconds(api.pid), time: performance.now() };
  const { requestsPerSecond, latency } = await generator(load);
  const cpu = cpuSeconds(api.pid) - before.cpu;
  const time = (performance.now() - before.time) / 1000;
  return { requestsPerSecond, latency, perCpuSecond: (requestsPerSecond * time) / cpu };
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
