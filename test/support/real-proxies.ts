import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';
import { findProgram } from './programs.js';

/** The proxies that run here, by the name of their program. */
export type ProxyProgram = 'nginx' | 'haproxy' | 'apache2' | 'caddy';

export interface RealProxy {
  readonly port: number;
  close(): Promise<void>;
}

export interface ProxyStart {
  readonly program: ProxyProgram;
  /** Below `examples/proxies`: the very file that the docs show. */
  readonly config: string;
  readonly pki: Pki;
  /** The port of the API, or the path of its unix socket. */
  readonly upstream: number | string;
  readonly secret: string;
  /** Further words of the file to be replaced. */
  readonly replace?: Readonly<Record<string, string>>;
}

const examples = fileURLToPath(new URL('../../examples/proxies', import.meta.url));
const isRoot = process.getuid?.() === 0;

/** Starts the program in the foreground with its example configuration, on a free loopback port. */
export async function startProxy({
  program,
  config,
  pki,
  upstream,
  secret,
  replace,
}: ProxyStart): Promise<RealProxy> {
  const folder = mkdtempSync(join(tmpdir(), `mtls-bound-${program}-`));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  write('server.pem', pki.server.cert);
  write('server.key', pki.server.key);
  write('server-with-key.pem', pki.server.cert + pki.server.key);
  write('clients-ca.pem', pki.ca.cert);
  write('api-ca.pem', pki.ca.cert);
  write('proxy.pem', pki.proxy.cert);
  write('proxy.key', pki.proxy.key);
  const replacements = {
    '/etc/ssl/api/': `${folder}/`,
    '127.0.0.1:8443': `127.0.0.1:${port}`,
    'api.example.com:8443': `api.example.com:${port}`,
    '127.0.0.1:3000': `127.0.0.1:${upstream}`,
    '/run/api/api.sock': String(upstream),
    'change-this-secret': secret,
    ...replace,
  };
  const text = Object.entries(replacements).reduce(
    (changed, [from, to]) => changed.replaceAll(from, to),
    readFileSync(join(examples, config), 'utf8'),
  );
  const [args, environment] = commandLine[program](folder, text, write);
  const child = spawn(findProgram(program) ?? program, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, ...environment },
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await untilListening(child, port, join(folder, 'run', 'error.log'));
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, close: stop };
}

type CommandLine = (
  folder: string,
  config: string,
  write: (name: string, text: string) => string,
) => [string[], Record<string, string>];

/** How each program is kept in the foreground, and within its folder. */
const commandLine: Record<ProxyProgram, CommandLine> = {
  nginx: (folder, config, write) => {
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const within = config.replace('http {', `http {\n  access_log off;\n  ${paths.join('\n  ')}`);
    const globals = `daemon off; pid ${folder}/nginx.pid; error_log stderr;${isRoot ? ' user root;' : ''}`;
    return [['-p', folder, '-c', write('nginx.conf', within), '-e', 'stderr', '-g', globals], {}];
  },
  haproxy: (_folder, config, write) => [['-db', '-f', write('haproxy.cfg', config)], {}],
  apache2: (folder, config, write) => {
    mkdirSync(join(folder, 'run'), { mode: 0o777 });
    const modules = ['mpm_event', 'authz_core', 'socache_shmcb', 'ssl', 'headers', 'proxy', 'proxy_http'];
    const main = [
      `ServerRoot ${folder}`,
      'ServerName localhost',
      `DefaultRuntimeDir ${folder}/run`,
      `PidFile ${folder}/run/apache.pid`,
      `Mutex file:${folder}/run`,
      `ErrorLog ${folder}/run/error.log`,
      ...modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
      ...(isRoot ? ['User www-data', 'Group www-data'] : []),
      'StartServers 1',
      'ServerLimit 1',
      'MaxRequestWorkers 25',
      `SSLSessionCache shmcb:${folder}/run/sessions(51200)`,
      config,
    ];
    return [['-D', 'FOREGROUND', '-f', write('apache.conf', main.join('\n'))], {}];
  },
  caddy: (folder, config, write) => [
    ['run', '--adapter', 'caddyfile', '--config', write('Caddyfile', config)],
    { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
  ],
};

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server as never);
  await close(server as never);
  return port;
}

async function untilListening(child: ChildProcess, port: number, errorLog: string): Promise<void> {
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (child.exitCode !== null || child.signalCode !== null) {
      break;
    }
    if (await accepts(port)) {
      return;
    }
    await sleep(50);
  }
  const logged = existsSync(errorLog) ? readFileSync(errorLog, 'utf8') : '';
  throw new Error(`the proxy did not start:\n${said}${logged}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
