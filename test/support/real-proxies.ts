import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { commandUntilInputCloses, freePort } from './background-program.js';
import type { Pki } from './pki.js';
import { findProgram } from './programs.js';

/** The proxies that run here, by the name of their program. */
export type ProxyProgram = 'nginx' | 'haproxy' | 'apache2' | 'caddy' | 'envoy';

export interface RealProxy {
  readonly port: number;
  /** Holds its configuration, and `nginx.pid` of an NGINX. */
  readonly folder: string;
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
  /** The user of NGINX's workers, where the tests run as root. Default `root`. */
  readonly user?: string;
}

const examples = fileURLToPath(new URL('../../examples/proxies', import.meta.url));
const isRoot = process.getuid?.() === 0;

/** Starts the program in the foreground with its example configuration, on a free loopback port. */
export async function startProxy(start: ProxyStart): Promise<RealProxy> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnce(start, await freePort());
    } catch (error) {
      // Tests run side by side: another one may have taken the port that was free a moment ago.
      if (attempt === 3 || !/address (already )?in use/i.test(String(error))) {
        throw error;
      }
    }
  }
}

async function startOnce(
  { program, config, pki, upstream, secret, replace, user = 'root' }: ProxyStart,
  port: number,
): Promise<RealProxy> {
  const folder = mkdtempSync(join(tmpdir(), `mtls-bound-${program}-`));
  chmodSync(folder, 0o755);
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
    'port_value: 8443': `port_value: ${port}`,
    'port_value: 3000': `port_value: ${upstream}`,
    '127.0.0.1:3000': `127.0.0.1:${upstream}`,
    '/run/api/api.sock': String(upstream),
    'change-this-secret': secret,
    ...replace,
  };
  const text = Object.entries(replacements).reduce(
    (changed, [from, to]) => changed.replaceAll(from, to),
    readFileSync(join(examples, config), 'utf8'),
  );
  const [args, environment] = commandLine[program](folder, text, write, user);
  const command = commandUntilInputCloses(findProgram(program) ?? program, args);
  const child = spawn('/bin/sh', command, { cwd: folder, env: { PATH: process.env.PATH, ...environment } });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.stdin.end();
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await untilListening(child, port, pki, join(folder, 'run', 'error.log'));
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, folder, close: stop };
}

type CommandLine = (
  folder: string,
  config: string,
  write: (name: string, text: string) => string,
  user: string,
) => [string[], Record<string, string>];

/** How each program is kept in the foreground, and within its folder. */
const commandLine: Record<ProxyProgram, CommandLine> = {
  nginx: (folder, config, write, user) => {
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const within = config.replace('http {', `http {\n  access_log off;\n  ${paths.join('\n  ')}`);
    const globals = `daemon off; pid ${folder}/nginx.pid; error_log stderr;${isRoot ? ` user ${user};` : ''}`;
    return [['-p', folder, '-c', write('nginx.conf', within), '-e', 'stderr', '-g', globals], {}];
  },
  haproxy: (_folder, config, write) => [['-db', '-f', write('haproxy.cfg', config)], {}],
  apache2: (folder, config, write) => {
    mkdirSync(join(folder, 'run'), { mode: 0o777 });
    const modules = [
      'mpm_event',
      'authz_core',
      'socache_shmcb',
      'ssl',
      'headers',
      'proxy',
      'proxy_http',
      'reqtimeout',
    ];
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
  envoy: (_folder, config, write) => [
    // No hot restart: it takes a shared memory segment that Envoys of one machine would share.
    ['--disable-hot-restart', '--concurrency', '1', '-l', 'warning', '-c', write('envoy.yaml', config)],
    {},
  ],
};

async function untilListening(child: ChildProcess, port: number, pki: Pki, errorLog: string): Promise<void> {
  let said = '';
  let over = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  // Not 'exit', after which its last words may still be on their way.
  child.once('close', () => {
    over = true;
  });
  for (let attempt = 0; attempt < 200 && !over; attempt += 1) {
    if (await answers(port, pki)) {
      return;
    }
    await sleep(50);
  }
  const logged = existsSync(errorLog) ? readFileSync(errorLog, 'utf8') : '';
  throw new Error(`the proxy did not start:\n${said}${logged}`);
}

/** Whether it is our proxy, with this test's certificate, that listens there. */
function answers(port: number, pki: Pki): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'api.example.com', ca: pki.ca.cert });
    socket.once('secureConnect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
