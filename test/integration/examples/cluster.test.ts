import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fetch from 'node-fetch';
import { expect, it, vi } from 'vitest';
import { audience, testClients } from '../../support/authorization-server.js';
import { itReal } from '../../support/programs.js';
import { startRedis } from '../../support/redis.js';
import { beginRequest, endRequest, refusesConnections } from '../../support/requests-under-way.js';
import { useAuthorizationServer, useFolder } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
const folder = useFolder();

/** Runs the example, with its lines as they come. */
function startCluster(environment: Record<string, string>) {
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const program = spawn(
    process.execPath,
    [fileURLToPath(new URL('../../../examples/cluster/server.js', import.meta.url))],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        PORT: '0',
        FLEET_SECRET: 'a secret of at least 32 characters',
        MTLS_BOUND_ISSUER: server.issuer,
        MTLS_BOUND_CLIENT_ID: 'api',
        MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
        MTLS_BOUND_AUDIENCE: audience,
        MTLS_BOUND_CA_FILE: file('ca.pem', pki.ca.cert),
        TLS_CERT_FILE: file('server.pem', pki.server.cert),
        TLS_KEY_FILE: file('server.key', pki.server.key),
        ...environment,
      },
    },
  );
  let printed = '';
  let complaints = '';
  program.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
  });
  program.stderr.setEncoding('utf8').on('data', (text) => {
    complaints += text;
  });
  const urls = () => printed.trim().split('\n').filter(Boolean);
  return {
    program,
    exited: once(program, 'exit'),
    complaints: () => complaints,
    /** Resolves with the latest URL once so many workers have begun to listen. */
    async listening(count: number): Promise<string> {
      await vi.waitFor(() => expect(urls()).toHaveLength(count), { timeout: 20_000 });
      return String(urls().at(-1));
    },
  };
}

const agentOf = (keepAlive = false) =>
  new Agent({ ca: pki.ca.cert, cert: pki.alice.cert, key: pki.alice.key, keepAlive });
const get = (url: string, token: string, agent = agentOf()) =>
  fetch(`${url}/accounts`, { agent, headers: { authorization: `Bearer ${token}` } });

it('examples/cluster: listens and answers while Redis is away, and ends at SIGTERM', async () => {
  const cluster = startCluster({ PROCESSES: '1', REDIS_URL: 'redis://127.0.0.1:9', END_WITHIN: '500' });
  try {
    const url = await cluster.listening(1);
    expect((await get(url, await server.token(testClients(pki).alice))).status).toBe(200);
    cluster.program.kill('SIGTERM');
    expect(await cluster.exited).toEqual([0, null]);
  } finally {
    cluster.program.kill('SIGKILL');
  }
});

it('examples/cluster: completes at SIGTERM the request under way, and takes no other', async () => {
  const cluster = startCluster({ PROCESSES: '1', REDIS_URL: 'redis://127.0.0.1:9' });
  try {
    const url = await cluster.listening(1);
    const token = await server.token(testClients(pki).alice);
    const underWay = await beginRequest(pki, url, token);
    // The worker has read the half request when it has answered a later one.
    expect((await get(url, token)).status).toBe(200);
    cluster.program.kill('SIGTERM');
    await vi.waitFor(async () => expect(await refusesConnections(url)).toBe(true), { timeout: 10_000 });
    expect(await endRequest(underWay)).toMatch(/^HTTP\/1\.1 200 [\s\S]*"client":"alice"/);
    expect(await cluster.exited).toEqual([0, null]);
  } finally {
    cluster.program.kill('SIGKILL');
  }
});

it('examples/cluster: replaces a worker that dies; neither half a request nor an idle connection holds up the end', async () => {
  const cluster = startCluster({ PROCESSES: '1', REDIS_URL: 'redis://127.0.0.1:9', END_WITHIN: '500' });
  const agent = agentOf(true);
  try {
    const url = await cluster.listening(1);
    const token = await server.token(testClients(pki).alice);
    const { process: worker } = (await (await get(url, token)).json()) as { process: number };
    process.kill(worker, 'SIGKILL');
    const again = await cluster.listening(2);
    const answer = (await (await get(again, token, agent)).json()) as { process: number };
    expect(answer.process).not.toBe(worker);
    const half = await beginRequest(pki, again, token);
    const closed = once(half, 'close');
    cluster.program.kill('SIGTERM');
    expect(await cluster.exited).toEqual([0, null]);
    await closed;
    expect(cluster.complaints()).not.toContain('is killed');
  } finally {
    agent.destroy();
    cluster.program.kill('SIGKILL');
  }
});

it('examples/cluster: exits with 1 where no worker gets as far as to listen', async () => {
  const cluster = startCluster({ REDIS_URL: 'redis://127.0.0.1:9', TLS_CERT_FILE: join(folder, 'missing') });
  try {
    expect(await cluster.exited).toEqual([1, null]);
    expect(cluster.complaints()).toContain('the workers die before they listen');
  } finally {
    cluster.program.kill('SIGKILL');
  }
});

itReal(
  'redis-server',
  'examples/cluster: what is revoked at one process is refused by all; SIGTERM drops no request',
  async () => {
    const redis = await startRedis();
    const cluster = startCluster({ PROCESSES: '3', REDIS_URL: redis.url, CLOCK_TOLERANCE: '0' });
    try {
      const url = await cluster.listening(3);
      const { alice, revoker } = testClients(pki);
      let token = '';
      // A process that has not joined the log yet asks for itself.
      await vi.waitFor(
        async () => {
          token = await server.token(alice);
          // Each request has a connection of its own: the processes take turns.
          const answers = [];
          for (let i = 0; i < 12; i += 1) {
            const response = await get(url, token);
            expect(response.status).toBe(200);
            answers.push(((await response.json()) as { process: number }).process);
          }
          expect(new Set(answers).size).toBe(3);
          // Shared: one process asked, the others found the answer.
          expect(server.introspections(token)).toBe(1);
        },
        { timeout: 20_000, interval: 500 },
      );

      await server.revoke(alice, token);
      const revoked = await fetch(`${url}/revocations`, {
        method: 'POST',
        agent: new Agent({ ca: pki.ca.cert, cert: pki.proxy.cert, key: pki.proxy.key }),
        headers: { authorization: `Bearer ${await server.token(revoker)}` },
        body: new URLSearchParams({ token }),
      });
      expect(revoked.status).toBe(200);
      await vi.waitFor(async () => expect((await get(url, token)).status).toBe(401));
      for (let i = 0; i < 9; i += 1) {
        expect((await get(url, token)).status).toBe(401);
      }

      const underWay = Array.from({ length: 6 }, () => get(url, token));
      await underWay[0];
      cluster.program.kill('SIGTERM');
      expect(await cluster.exited).toEqual([0, null]);
      const underWayAnswers = await Promise.all(underWay);
      expect(underWayAnswers.map(({ status }) => status)).toEqual(Array(6).fill(401));
    } finally {
      cluster.program.kill('SIGKILL');
      await redis.kill();
    }
  },
);
