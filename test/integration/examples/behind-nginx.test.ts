import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { audience, testClients } from '../../support/authorization-server.js';
import { freePort } from '../../support/background-program.js';
import { call } from '../../support/calls.js';
import { describeReal, itReal } from '../../support/programs.js';
import { type RealProxy, startProxy } from '../../support/real-proxies.js';
import { useAuthorizationServer, useFolder } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
const folder = useFolder();
writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
const secret = 'the-secret-of-nginx-and-the-api';
const path = fileURLToPath(new URL('../../../examples/express-behind-nginx/server.mjs', import.meta.url));

const environment = {
  PATH: process.env.PATH,
  PROXY_SECRET: secret,
  MTLS_BOUND_ISSUER: server.issuer,
  MTLS_BOUND_CLIENT_ID: 'api',
  MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
  MTLS_BOUND_AUDIENCE: audience,
  MTLS_BOUND_CA_FILE: join(folder, 'ca.pem'),
};

// As a user runs it: plain Node, from the built packages, set up by the environment and options.mjs alone.
async function start(port: number): Promise<ReturnType<typeof spawn>> {
  const program = spawn(process.execPath, [path], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...environment, PORT: String(port) },
  });
  await once(program.stdout, 'data');
  return program;
}

itReal('openssl', 'the guide adds the secret to a file without a line end too', async () => {
  const command = /^printf .+ >> api\.env$/m.exec(textOf('docs/guides/tls.md'))?.[0] ?? '';
  writeFileSync(join(folder, 'api.env'), "export MTLS_BOUND_CLIENT_SECRET='abc'");
  const show = 'echo "$MTLS_BOUND_CLIENT_SECRET $PROXY_SECRET"';
  const { stdout } = await promisify(execFile)('sh', ['-c', `${command}\n. ./api.env\n${show}`], {
    cwd: folder,
  });
  expect(stdout).toMatch(/^abc [\da-f]{64}\n$/);
});

describeReal('nginx', 'examples/express-behind-nginx', () => {
  let program: ReturnType<typeof spawn>;
  let proxy: RealProxy;
  let past: { url: string };
  let through: { url: string };

  beforeAll(async () => {
    const port = await freePort();
    program = await start(port);
    proxy = await startProxy({ program: 'nginx', config: 'nginx/nginx.conf', pki, upstream: port, secret });
    past = { url: `http://127.0.0.1:${port}` };
    through = { url: `https://127.0.0.1:${proxy.port}` };
  }, 30_000);
  afterAll(async () => {
    await proxy?.close();
    program?.kill('SIGKILL');
  });

  it('accepts a token through NGINX with its certificate, and no other certificate', async () => {
    const token = await server.token(testClients(pki).alice);
    const status = async (identity?: typeof pki.alice) =>
      (await call(pki, through, '/accounts', identity).auth(token, { type: 'bearer' })).status;
    expect([await status(pki.alice), await status(pki.bob), await status()]).toEqual([200, 401, 401]);
  });

  it('answers the health check without a token and without a certificate', async () => {
    expect((await call(pki, through, '/health')).status).toBe(200);
  });

  it('follows the guide: NGINX runs as a user without rights, reads a changed file, and stops', async () => {
    const guide = textOf('docs/guides/tls.md');
    const [sed = '', protect = '', start = '', reload = '', stop = ''] =
      guide.match(/^(?:sed|chmod|nginx) .+$/gm) ?? [];
    expect([sed, protect, reload, stop]).toEqual([
      expect.stringContaining('sed -i.bak'),
      expect.stringContaining('chmod 600'),
      expect.stringMatching(/ -s reload$/),
      expect.stringMatching(/ -s stop$/),
    ]);
    const own = mkdtempSync(join(tmpdir(), 'mtls-bound-own-user-'));
    const examples = fileURLToPath(new URL('../../../examples', import.meta.url));
    copyFileSync(join(examples, 'proxies/nginx/nginx.conf'), join(own, 'nginx.conf'));
    copyFileSync(join(examples, 'express-behind-nginx/own-user.conf'), join(own, 'own-user.conf'));
    writeFileSync(join(own, 'server.pem'), pki.server.cert);
    writeFileSync(join(own, 'server.key'), pki.server.key);
    writeFileSync(join(own, 'api.env'), '');
    // Root would not see what another user may not do.
    const other = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    if (other.uid !== undefined) {
      for (const name of ['.', ...readdirSync(own)]) {
        chownSync(join(own, name), other.uid, other.gid);
      }
    }
    const PATH = `${process.env.PATH}:/usr/sbin`;
    const run = (command: string) =>
      promisify(execFile)('sh', ['-c', command], {
        cwd: own,
        env: { PATH, PWD: own, PROXY_SECRET: secret },
        ...other,
      });
    await run(`${sed}\n${protect}`);
    for (const name of ['api.env', 'nginx.conf']) {
      expect(statSync(join(own, name)).mode & 0o777).toBe(0o600);
    }
    const config = join(own, 'nginx.conf');
    const port = await freePort();
    const text = readFileSync(config, 'utf8')
      .replace('127.0.0.1:3000', new URL(past.url).host)
      .replace('127.0.0.1:8443', `127.0.0.1:${port}`);
    writeFileSync(config, text);
    await run(start);
    try {
      const token = await server.token(testClients(pki).alice);
      const own8443 = { url: `https://127.0.0.1:${port}` };
      const status = async (identity: typeof pki.alice) =>
        (await call(pki, own8443, '/accounts', identity).auth(token, { type: 'bearer' })).status;
      expect([await status(pki.alice), await status(pki.selfSignedRsa)]).toEqual([200, 401]);
      writeFileSync(
        config,
        text.replace('location / {', 'location /accounts { return 418; }\n    location / {'),
      );
      await run(reload);
      await expect.poll(() => status(pki.alice), { timeout: 10_000 }).toBe(418);
    } finally {
      await run(stop);
    }
    await expect.poll(() => readdirSync(own), { timeout: 10_000 }).not.toContain('nginx.pid');
    expect(readdirSync(own)).toEqual(expect.arrayContaining(['access.log', 'error.log']));
    rmSync(own, { recursive: true });
  }, 30_000);

  it.each(['issued by an authority', 'of the guide'])(
    'the doctor finds what the guide announces: a certificate %s',
    async (title) => {
      const guide = textOf('docs/guides/tls.md');
      const commandOf = (name: string): string[] =>
        new RegExp(`^npx mtls-doctor (${name} .+)$`, 'm').exec(guide)?.[1]?.split(' ') ?? [];
      const doctor = fileURLToPath(new URL('../../../packages/core/bin/mtls-doctor.js', import.meta.url));
      writeFileSync(join(folder, 'client.pem'), pki.alice.cert);
      writeFileSync(join(folder, 'client.key'), pki.alice.key);
      const isOwn = title === 'of the guide';
      if (isOwn) {
        const made = /^openssl req .+ -out client\.pem$/m.exec(textOf('docs/guides/getting-started.md'))?.[0];
        await promisify(execFile)('sh', ['-c', made ?? ''], { cwd: folder });
      }
      const port = await freePort();
      const listener = spawn(
        process.execPath,
        [doctor, ...commandOf('listen')].map((word) =>
          word.replace('options.mjs', join(path, '../options.mjs')).replace(/^3000$/, String(port)),
        ),
        { env: environment, stdio: ['ignore', 'pipe', 'inherit'] },
      );
      let printed = '';
      listener.stdout.setEncoding('utf8').on('data', (said) => {
        printed += said;
      });
      await expect.poll(() => printed, { timeout: 10_000 }).toContain('listening on');
      const start = { program: 'nginx', config: 'nginx/nginx.conf', pki, upstream: port, secret } as const;
      const inFront = await startProxy(start);
      try {
        const words = commandOf('probe').map((word) =>
          word
            .replace('localhost:8443', `localhost:${inFront.port}`)
            .replace('127.0.0.1:3000', `127.0.0.1:${port}`)
            .replace('server.pem', 'ca.pem'),
        );
        const { stdout } = await promisify(execFile)(process.execPath, [doctor, ...words], { cwd: folder });
        const lines = stdout.split('\n').filter((line) => /^\S/.test(line));
        expect(lines.map((line) => line.split(/ +/)[0])).toEqual(['ok', 'ok', 'WARNING', 'ok']);
        expect(lines[2]).toContain('directly_reachable');
        const findings = new Set(
          printed.match(/^(?:ok|WARNING|PROBLEM) +\w+/gm)?.map((line) => line.replace(/ +/, ' ')),
        );
        expect(findings).toEqual(
          new Set([
            ...(isOwn ? ['WARNING intermediate_forwarded'] : []),
            ...['ok certificate', 'WARNING no_certificate', 'PROBLEM proxy_not_trusted'],
          ]),
        );
        if (isOwn) {
          expect(printed).toMatch(/x-ssl-client-verify: FAILED \(not shown\): \d+ characters/);
          expect(printed).toContain('x-ssl-client-verify: NONE');
        }
        // The address matches: the hint names the secret alone.
        expect(printed).not.toContain('let trust name');
      } finally {
        await inFront.close();
        listener.kill();
      }
    },
    30_000,
  );

  it('does not believe the header of a client, through NGINX or past it', async () => {
    const token = await server.token(testClients(pki).alice);
    const header = encodeURIComponent(pki.alice.cert);
    const forged = (api: { url: string }) =>
      call(pki, api, '/accounts').auth(token, { type: 'bearer' }).set('X-SSL-Client-Cert', header);
    expect((await forged(through)).status).toBe(401);
    expect((await forged(past)).status).toBe(401);
    // With the secret of NGINX the same request is believed: it is the secret that stops the client.
    expect((await forged(past).set('X-Proxy-Secret', secret)).status).toBe(200);
  });
});
