// Runs what docs/guides/fleet.md shows of two processes: behind a real NGINX, with a shared cache in a real Redis.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createClient } from '@redis/client';
import { redisLock } from 'express-mtls';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { root, textOf } from '../../docs/pages.js';
import { audience, testClients } from '../../support/authorization-server.js';
import { freePort, startServer } from '../../support/background-program.js';
import { call, post } from '../../support/calls.js';
import { describeReal } from '../../support/programs.js';
import { type RealProxy, startProxy } from '../../support/real-proxies.js';
import { startRedis } from '../../support/redis.js';
import { useAuthorizationServer } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
const guide = textOf('docs/guides/fleet.md');
const [, section = ''] = /^## Two processes behind NGINX\n([\s\S]*?)^## /m.exec(guide) ?? [];
const blocksOf = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ([, block = '']) => block,
  );
const blockWith = (text: string, language: string, part: string): string =>
  blocksOf(text, language).find((block) => block.includes(part)) ?? expect.fail(`no block has ${part}`);

const proxySecret = 'the-secret-of-nginx-and-the-api';
// Below the root, so that packages are found as a user's program finds them.
const folder = join(root, 'node_modules/.cache/two-processes');

/** Writes the files of the guide. Without `clockTolerance` no answer is shared for 30 seconds. */
function writeFiles(redisUrl: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const options = blockWith(section, 'js', 'export default');
  const variables = blockWith(guide, 'sh', 'export FLEET_SECRET=')
    .replace("'...'", "'a secret of at least 32 characters'")
    .replace(/(?<=REDIS_URL=').*(?=')/, redisUrl);
  writeFileSync(
    join(folder, 'options.mjs'),
    options.replace('export default {', 'export default {\n  clockTolerance: 0,'),
  );
  writeFileSync(join(folder, 'watch.mjs'), blockWith(section, 'js', 'mtls-bound:cache'));
  writeFileSync(join(folder, 'revoke.mjs'), blockWith(guide, 'js', 'mtls.revoke('));
  writeFileSync(join(folder, 'api.env'), variables);
  writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
  copyFileSync(join(root, 'examples/express-behind-nginx/server.mjs'), join(folder, 'server.mjs'));
}

const environment = {
  PATH: process.env.PATH,
  NODE_NO_WARNINGS: '1',
  PROXY_SECRET: proxySecret,
  MTLS_BOUND_ISSUER: server.issuer,
  MTLS_BOUND_CLIENT_ID: 'api',
  MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
  MTLS_BOUND_AUDIENCE: audience,
  MTLS_BOUND_CA_FILE: join(folder, 'ca.pem'),
};

const run = (command: string, more: Record<string, string> = {}) =>
  promisify(execFile)('sh', ['-c', command], { cwd: folder, env: { ...environment, ...more } });

/** One process of the fleet, started by a command of the guide. */
async function startProcess(command: string, port: number) {
  // Without `exec` a signal would end the shell alone.
  const program = spawn('sh', ['-c', command.replace(/node --import/, 'exec node --import')], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PORT: String(port), ...environment },
  });
  const exited = once(program, 'exit');
  let printed = '';
  program.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
  });
  await vi.waitFor(() => expect(printed).toContain(`http://127.0.0.1:${port}\n`), { timeout: 20_000 });
  return {
    /** What `watch.mjs` printed. */
    results: () => printed.split('\n').slice(1, -1),
    async end(): Promise<void> {
      program.kill();
      await exited;
    },
  };
}

const aliceToken = () => server.token(testClients(pki).alice);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describeReal('nginx', 'two processes behind NGINX', () => {
  describeReal('redis-server', 'as the guide shows them', () => {
    let redis: ReturnType<typeof startServer>;
    let proxy: RealProxy;
    let withDefaults: RealProxy;
    const ports = { first: 0, second: 0 };
    const [startFirst = '', startSecond = ''] = blocksOf(section, 'sh').filter((block) =>
      block.includes('server.mjs'),
    );
    const starts = {
      first: () => startProcess(startFirst, ports.first),
      second: () => startProcess(startSecond.replace('3001', String(ports.second)), ports.second),
    };
    const fleet: { [name in keyof typeof starts]?: Awaited<ReturnType<typeof startProcess>> } = {};

    const ask = async (token: string, through: RealProxy = proxy) =>
      (
        await call(pki, { url: `https://127.0.0.1:${through.port}` }, '/accounts', pki.alice).auth(token, {
          type: 'bearer',
        })
      ).status;

    beforeAll(async () => {
      const redisPort = await freePort();
      writeFiles(`redis://127.0.0.1:${redisPort}`);
      const [program = '', ...args] = blockWith(guide, 'sh', 'redis-server')
        .trim()
        .replace('6380', String(redisPort))
        .split(' ');
      redis = startServer({
        program,
        args,
        cwd: folder,
        env: environment,
        sign: 'Ready to accept connections',
      });
      await redis.listening;
      ports.first = await freePort();
      ports.second = await freePort();
      fleet.first = await starts.first();
      fleet.second = await starts.second();
      const upstream = blockWith(section, 'nginx', 'upstream')
        .replace('3000', String(ports.first))
        .replace('3001', String(ports.second));
      const start = (block: string) =>
        startProxy({
          program: 'nginx',
          config: 'nginx/nginx.conf',
          pki,
          upstream: ports.first,
          secret: proxySecret,
          replace: {
            [`  upstream api {\n    server 127.0.0.1:${ports.first};\n    keepalive 16;\n  }\n`]: block,
          },
        });
      proxy = await start(upstream);
      withDefaults = await start(upstream.replaceAll(' max_fails=0', ''));
    }, 90_000);
    afterAll(async () => {
      await Promise.all([proxy?.close(), withDefaults?.close(), fleet.first?.end(), fleet.second?.end()]);
      await redis?.end();
    });

    it('the doctor finds nothing wrong', async () => {
      const { stdout } = await run('. ./api.env\nnpx mtls-doctor check --config options.mjs');
      const lines = stdout.split('\n').filter((line) => /^\S/.test(line));
      expect(lines.map((line) => line.split(/ +/)[0])).toEqual(lines.map(() => 'ok'));
      expect(stdout).toMatch(/shared_store[\s\S]*revocation_log/);
    });

    it('one introspects a token, and the other one uses its answer', async () => {
      // A process that has not joined the log yet asks for itself.
      await vi.waitFor(
        async () => {
          const token = await aliceToken();
          expect([await ask(token), await ask(token)]).toEqual([200, 200]);
          expect(server.introspections(token)).toBe(1);
        },
        { timeout: 20_000, interval: 200 },
      );
      const last = () => [fleet.first, fleet.second].map((one) => one?.results().at(-1)).toSorted();
      await vi.waitFor(() => expect(last()).toEqual(["{ result: 'miss' }", "{ result: 'shared_hit' }"]));
      expect(section).toContain("also prints\n   `{ result: 'shared_hit' }`");
    });

    it('the program of the guide revokes a token, and each process refuses it', async () => {
      const token = await aliceToken();
      expect([await ask(token), await ask(token)]).toEqual([200, 200]);
      const { stderr } = await run(blockWith(guide, 'sh', 'revoke.mjs'), { TOKEN: token });
      expect(stderr).toBe('');
      await vi.waitFor(async () => expect([await ask(token), await ask(token)]).toEqual([401, 401]));
    });

    it('a call past NGINX gets 401 with any token', async () => {
      const token = await aliceToken();
      const { status } = await call(pki, { url: `http://127.0.0.1:${ports.second}` }, '/accounts').auth(
        token,
        {
          type: 'bearer',
        },
      );
      expect(status).toBe(401);
    });

    it('processes that restart one after the other are not missed; with the defaults of NGINX clients get 502', async () => {
      const token = await aliceToken();
      const twice = async (through: RealProxy) => [await ask(token, through), await ask(token, through)];
      await fleet.first?.end();
      expect(await twice(proxy)).toEqual([200, 200]);
      expect(await twice(withDefaults)).toEqual([200, 200]);
      // The API has no such route. NGINX repeats a POST only if no process has received it.
      const posted = () =>
        post(pki, { url: `https://127.0.0.1:${proxy.port}` }, '/accounts', pki.alice).auth(token, {
          type: 'bearer',
        });
      expect([(await posted()).status, (await posted()).status]).toEqual([404, 404]);
      fleet.first = await starts.first();
      await fleet.second?.end();
      expect(await twice(proxy)).toEqual([200, 200]);
      expect(await twice(withDefaults)).toEqual([502, 502]);
      fleet.second = await starts.second();
      expect(await twice(proxy)).toEqual([200, 200]);
    });

    it('while Redis is down, each process introspects tokens itself', async () => {
      await redis.end();
      const token = await aliceToken();
      expect([await ask(token), await ask(token)]).toEqual([200, 200]);
      expect(server.introspections(token)).toBe(2);
    });
  });
});

describeReal('redis-server', 'the Redis for production that the guide shows', () => {
  const [, production = ''] = /^### A Redis for production\n([\s\S]*?)^## /m.exec(guide) ?? [];
  const password = '0123456789abcdef'.repeat(4);
  const [own = '', others = ''] = blocksOf(production, 'text').join('').split('\n');
  const [, shownUrl = ''] = /REDIS_URL='(.+)'/.exec(production) ?? [];

  it('its user may do all that a process does, and no more', async () => {
    const [keyword, ...rules] = own.replace('PASSWORD', password).split(' ');
    expect(keyword).toBe('user');
    const redis = await startRedis({ tls: pki, options: ['--user', ...rules] });
    const url = shownUrl
      .replace('PASSWORD', password)
      .replace('redis.example.com:6379', `127.0.0.1:${redis.port}`);
    expect(url).toMatch(/^rediss:\/\/api:/);
    expect(await redis.command('PING')).toBe('PONG');
    await redis.command('ACL', 'SETUSER', ...others.split(' ').slice(1));
    await expect(redis.command('PING')).rejects.toThrow('NOAUTH');
    writeFiles(url);
    const more = { NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') };
    try {
      const { stdout } = await run('. ./api.env\nnpx mtls-doctor check --config options.mjs', more);
      expect(stdout).not.toMatch(/^(?:WARNING|PROBLEM)/m);
      expect(stdout).toMatch(/shared_store[\s\S]*revocation_log/);
      const { stderr } = await run(blockWith(guide, 'sh', 'revoke.mjs'), {
        ...more,
        TOKEN: await aliceToken(),
      });
      expect(stderr).toBe('');
      const client = createClient({ url, socket: { tls: true, ca: pki.ca.cert } });
      await client.on('error', () => undefined).connect();
      const lock = redisLock(client);
      expect(await lock.acquire('mtls-bound:name', 5_000)).toBe(true);
      await lock.release('mtls-bound:name');
      await expect(client.sendCommand(['KEYS', '*'])).rejects.toThrow('keys');
      await expect(client.get('of another program')).rejects.toThrow('NOPERM');
      client.destroy();
    } finally {
      await redis.kill();
    }
  }, 60_000);
});

it('the guide keeps the options of its two parts in step', () => {
  const lines = (block: string) => block.split('\n').map((one) => one.trim());
  const certificate = /certificate: [\s\S]*?\n {2}\}\),\n/.exec(
    readFileSync(join(root, 'examples/express-behind-nginx/options.mjs'), 'utf8'),
  )?.[0];
  const merged = blockWith(section, 'js', 'export default');
  expect(merged).toContain(certificate);
  const alone = blockWith(guide.replace(section, ''), 'js', 'export default');
  expect(lines(merged)).toEqual(
    expect.arrayContaining(lines(alone).filter((one) => !one.startsWith('import { redisLock'))),
  );
});
