import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fetch from 'node-fetch';
import { expect, vi } from 'vitest';
import { audience, startAuthorizationServer, testClients } from '../support/authorization-server.js';
import { createPki } from '../support/pki.js';
import { itReal } from '../support/programs.js';
import { startRedis } from '../support/redis.js';

itReal(
  'redis-server',
  'examples/cluster: what is revoked at one process is refused by all; SIGTERM drops no request',
  async () => {
    const pki = await createPki();
    const [server, redis] = await Promise.all([startAuthorizationServer(pki), startRedis()]);
    const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
    const file = (name: string, content: string) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const program = spawn(
      process.execPath,
      [fileURLToPath(new URL('../../examples/cluster/server.js', import.meta.url))],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          PATH: process.env.PATH,
          PORT: '0',
          PROCESSES: '3',
          REDIS_URL: redis.url,
          FLEET_SECRET: 'a secret of at least 32 characters',
          MTLS_BOUND_ISSUER: server.issuer,
          MTLS_BOUND_CLIENT_ID: 'api',
          MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
          MTLS_BOUND_AUDIENCE: audience,
          MTLS_BOUND_CA_FILE: file('ca.pem', pki.ca.cert),
          TLS_CERT_FILE: file('server.pem', pki.server.cert),
          TLS_KEY_FILE: file('server.key', pki.server.key),
        },
      },
    );
    const exited = once(program, 'exit');
    try {
      let printed = '';
      program.stdout.setEncoding('utf8').on('data', (text) => {
        printed += text;
      });
      await vi.waitFor(() => expect(printed.trim().split('\n')).toHaveLength(3), { timeout: 20_000 });
      const [url = ''] = printed.split('\n');
      const { alice, revoker } = testClients(pki);
      const token = await server.token(alice);
      /** A connection of its own each time: the processes take turns. */
      const get = () =>
        fetch(`${url}/accounts`, {
          agent: new Agent({ ca: pki.ca.cert, cert: pki.alice.cert, key: pki.alice.key }),
          headers: { authorization: `Bearer ${token}` },
        });
      const answers = [];
      for (let i = 0; i < 12; i += 1) {
        const response = await get();
        expect(response.status).toBe(200);
        answers.push(((await response.json()) as { process: number }).process);
      }
      expect(new Set(answers).size).toBe(3);
      // Shared: one process asked, the others found the answer.
      expect(server.introspections(token)).toBe(1);

      await server.revoke(alice, token);
      const revoked = await fetch(`${url}/revocations`, {
        method: 'POST',
        agent: new Agent({ ca: pki.ca.cert, cert: pki.proxy.cert, key: pki.proxy.key }),
        headers: { authorization: `Bearer ${await server.token(revoker)}` },
        body: new URLSearchParams({ token }),
      });
      expect(revoked.status).toBe(200);
      await vi.waitFor(async () => expect((await get()).status).toBe(401));
      for (let i = 0; i < 9; i += 1) {
        expect((await get()).status).toBe(401);
      }

      const underWay = Array.from({ length: 6 }, () => get());
      await underWay[0];
      program.kill('SIGTERM');
      expect(await exited).toEqual([0, null]);
    } finally {
      program.kill('SIGKILL');
      rmSync(folder, { recursive: true });
      await redis.kill();
      await server.stop();
    }
  },
);
