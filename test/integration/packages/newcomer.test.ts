import { execFile, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
// @ts-expect-error: a script without types
import { emptyProject, pack } from '../../../scripts/pack.mjs';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { itReal } from '../../support/programs.js';

let pki: Pki;
let server: TestAuthorizationServer;
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-newcomer-'));
const project = join(folder, 'project');
let tarballs: Record<string, string>;

beforeAll(async () => {
  pki = await createPki();
  server = await startAuthorizationServer(pki);
  tarballs = pack(join(folder, 'tarballs'));
  emptyProject(project, tarballs, ['express', 'koa']);
  writeFileSync(join(project, 'ca.pem'), pki.ca.cert);
}, 180_000);
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const guide = readFileSync(new URL('../../../docs/guides/getting-started.md', import.meta.url), 'utf8');

async function freePort(): Promise<number> {
  const probe = createServer();
  const port = await listen(probe);
  await close(probe);
  return port;
}

/** The programs of the guide; one is shown as a file, the other in its place. */
const programs = {
  Express: /`server\.mjs`:\n\n```js\n([\s\S]*?)```/.exec(guide)?.[1] ?? '',
  Koa: /```js\n((?:(?!```)[\s\S])*from 'koa-mtls';[\s\S]*?)```/.exec(guide)?.[1] ?? '',
};

const environment = (): Record<string, string> => ({
  MTLS_BOUND_ISSUER: server.issuer,
  MTLS_BOUND_AUDIENCE: audience,
  MTLS_BOUND_CLIENT_ID: 'api',
  MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
});
// What the guide tells to set, and nothing else; but for the authority of this test's own server.
const env = () => ({ ...environment(), MTLS_BOUND_CA_FILE: join(project, 'ca.pem') });

it('the guide tells to set what is needed, and nothing else', () => {
  expect([...guide.matchAll(/^export (\w+)=/gm)].map(([, name]) => name)).toEqual(Object.keys(environment()));
});

it('the guide names the packed files by patterns that match one file each', async () => {
  const patterns = [...new Set(guide.match(/~\/mtls-bound-packed\/[\w*.-]+/g))].filter((name) =>
    name.endsWith('.tgz'),
  );
  const command = `ls ${patterns.join(' ')}`.replaceAll('~/mtls-bound-packed', '.');
  const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd: join(folder, 'tarballs') });
  const named = stdout
    .trim()
    .split('\n')
    .map((name) => join(folder, 'tarballs', name));
  expect(new Set(named)).toEqual(new Set([tarballs['express-mtls'], tarballs['@mtls-bound/core']]));
});

it.each(Object.entries(programs))(
  'the guide alone leads from an empty folder and the tarballs to a guarded route in %s',
  async (framework, program) => {
    const port = await freePort();
    expect(program).toContain(`from '${framework.toLowerCase()}-mtls'`);
    expect(program).toContain(".listen(8443, '127.0.0.1')");
    // The port may be taken.
    writeFileSync(join(project, 'server.mjs'), program.replace('8443', String(port)));
    writeFileSync(join(project, 'server.pem'), pki.server.cert);
    writeFileSync(join(project, 'server.key'), pki.server.key);
    const child = spawn(process.execPath, ['--no-warnings', 'server.mjs'], {
      cwd: project,
      env: env(),
      stdio: 'inherit',
    });
    const ended = once(child, 'exit');
    try {
      const api = { url: `https://127.0.0.1:${port}` };
      const token = await server.token(testClients(pki).alice);
      const answer = (identity?: typeof pki.alice) =>
        call(pki, api, '/accounts', identity)
          .auth(token, { type: 'bearer' })
          .then(
            ({ status, body }) => [status, body.client],
            () => [0],
          );
      await expect.poll(() => answer(pki.alice), { timeout: 20_000 }).toEqual([200, 'alice']);
      expect(await answer(pki.bob)).toEqual([401, undefined]);
      expect(await answer()).toEqual([401, undefined]);
    } finally {
      child.kill();
      await ended;
    }
  },
  120_000,
);

it('the doctor finds nothing wrong there', async () => {
  // The authorization server is in this very process, which must not wait for the command.
  const { stdout } = await promisify(execFile)('npx', ['mtls-doctor', 'check'], {
    cwd: project,
    env: { ...process.env, ...env() },
  });
  expect(stdout).toContain('answers introspection requests of this API');
}, 120_000);

/** A command of the guide, which may go on over lines. */
function commandOf(beginning: string): string {
  const at = guide.indexOf(`\n${beginning}`) + 1;
  expect(at).toBeGreaterThan(0);
  return /^(?:.*\\\n)*.*/.exec(guide.slice(at))?.[0] ?? '';
}

itReal('openssl', 'the guide makes the certificates for a trial on this machine', async () => {
  const made = join(folder, 'made');
  mkdirSync(made);
  const commands = guide.match(/^openssl req .+$/gm) ?? [];
  expect(commands).toHaveLength(2);
  const [server, client] = await Promise.all(
    ['server', 'client'].map(async (name, at) => {
      await promisify(execFile)('sh', ['-c', commands[at] ?? ''], { cwd: made });
      const certificate = new X509Certificate(readFileSync(join(made, `${name}.pem`)));
      const key = createPrivateKey(readFileSync(join(made, `${name}.key`)));
      expect(certificate.checkPrivateKey(key)).toBe(true);
      return certificate;
    }),
  );
  expect(server?.checkHost('localhost')).toBe('localhost');
  expect(client?.subject).toBe('CN=my-client');
});

it('a shell reads the file of the variables', async () => {
  const [, lines = ''] = /^```sh\n((?:export .+\n)+)```/m.exec(guide) ?? [];
  writeFileSync(join(folder, 'api.env'), lines.replace("'...'", '\'%41 "$HOME" `x`\''));
  const shown = await promisify(execFile)('sh', ['-c', '. ./api.env; echo "$MTLS_BOUND_CLIENT_SECRET"'], {
    cwd: folder,
  });
  expect(guide).toContain('\n. ./api.env\nnode server.mjs\n');
  expect(shown.stdout).toBe('%41 "$HOME" `x`\n');
});

itReal('curl', 'the guide gets a token from the token endpoint', async () => {
  writeFileSync(join(project, 'client.pem'), pki.alice.cert);
  writeFileSync(join(project, 'client.key'), pki.alice.key);
  const command = commandOf('curl --cert client.pem')
    .replace('https://as.example.com', server.issuer)
    .replace('my-client', 'alice');
  const { stdout } = await promisify(execFile)('sh', ['-c', command], {
    cwd: project,
    env: { ...process.env, CURL_CA_BUNDLE: join(project, 'ca.pem') },
  });
  expect(JSON.parse(stdout)).toMatchObject({ token_type: 'Bearer', scope: 'accounts:read' });
});

// pnpm shows an application the commands and modules of its direct dependencies alone.
it.each(['express-mtls', 'koa-mtls'])(
  'with pnpm, %s brings the command, the test kit and telemetry',
  async (name) => {
    const own = join(folder, `pnpm-${name}`);
    mkdirSync(own);
    const overrides = { '@mtls-bound/core': `file:${tarballs['@mtls-bound/core']}` };
    writeFileSync(join(own, 'package.json'), JSON.stringify({ type: 'module', pnpm: { overrides } }));
    const { packageManager } = JSON.parse(
      readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
    ) as { packageManager: string };
    const run = async (command: string, ...args: string[]) =>
      (await promisify(execFile)(command, args, { cwd: own })).stdout;
    await run('npx', '--yes', packageManager, 'add', String(tarballs[name]), '@opentelemetry/api@1.9.1');
    expect(readdirSync(join(own, 'node_modules'))).not.toContain('@mtls-bound');
    expect(await run('npx', 'mtls-doctor', '--help')).toContain('mtls-doctor probe');
    const script = `
    const { createTestKit } = await import('${name}/testing');
    const { observeByOpenTelemetry } = await import('${name}/opentelemetry');
    console.log(typeof createTestKit, typeof observeByOpenTelemetry);`;
    expect(await run(process.execPath, '--input-type=module', '-e', script)).toBe('function function\n');
  },
  120_000,
);
