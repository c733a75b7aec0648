import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { close, listen } from '../../test/support/loopback.js';
import type { Pki } from '../../test/support/pki.js';
import { findProgram } from '../../test/support/programs.js';

/** HAProxy and NGINX, as the files in `config` set them up. */
export interface Proxies {
  /** Where clients connect: the load balancer. */
  readonly ports: { readonly as: number; readonly express: number; readonly koa: number };
  end(): Promise<void>;
}

interface ProxyOptions {
  readonly pki: Pki;
  /** Host and port of each behind NGINX. */
  readonly behind: { readonly as: string; readonly express: string; readonly koa: string };
  readonly proxySecret: string;
  readonly ciphers: 'fapi1-final' | 'bcp195';
}

const config = fileURLToPath(new URL('./config', import.meta.url));

export async function startProxies({ pki, behind, proxySecret, ciphers }: ProxyOptions): Promise<Proxies> {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-fapi-'));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text, { mode: 0o600 });
  write('server.pem', pki.serverRsa.cert);
  write('server.key', pki.serverRsa.key);
  write('clients-ca.pem', pki.ca.cert);
  const [lbAs, lbExpress, lbKoa, nginxAs, nginxExpress, nginxKoa] = await freePorts(6);
  const environment: Record<string, string> = {
    LISTEN: '127.0.0.1',
    NGINX: '127.0.0.1',
    LOAD_BALANCER: '127.0.0.1',
    TLS: folder,
    CONFIG: config,
    CIPHERS: ciphers,
    PROXY_SECRET: proxySecret,
    LB_AUTHORIZATION_SERVER: `${lbAs}`,
    LB_EXPRESS: `${lbExpress}`,
    LB_KOA: `${lbKoa}`,
    NGINX_AUTHORIZATION_SERVER: `${nginxAs}`,
    NGINX_EXPRESS: `${nginxExpress}`,
    NGINX_KOA: `${nginxKoa}`,
    AUTHORIZATION_SERVER: behind.as,
    EXPRESS: behind.express,
    KOA: behind.koa,
  };
  write('nginx.conf', filledIn('nginx.conf.template', environment, folder));
  copyFileSync(join(config, 'haproxy.cfg'), join(folder, 'haproxy.cfg'));
  const globals = `daemon off; pid ${folder}/nginx.pid;${process.getuid?.() === 0 ? ' user root;' : ''}`;
  const programs = [
    start('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr', '-g', globals], {}),
    start('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], environment),
  ];
  const end = async (): Promise<void> => {
    await Promise.all(programs.map((program) => stop(program)));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all([lbAs, lbExpress, lbKoa].map((port) => untilListening(Number(port), programs)));
  } catch (error) {
    await end();
    throw error;
  }
  return { ports: { as: Number(lbAs), express: Number(lbExpress), koa: Number(lbKoa) }, end };
}

/** As the official image of NGINX does: only names that are defined are filled in, `$remote_addr` stays. */
function filledIn(template: string, environment: Record<string, string>, folder: string): string {
  const text = readFileSync(join(config, template), 'utf8').replace(
    /\$\{(\w+)\}/g,
    (whole, name) => environment[name] ?? whole,
  );
  // Its own folders belong to the system's NGINX.
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `  ${name}_temp_path ${folder}/${name};`,
  );
  return text.replace('http {', `http {\n${temporary.join('\n')}`);
}

function start(name: string, args: string[], environment: Record<string, string>): ChildProcess {
  const program = spawn(findProgram(name) ?? name, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, ...environment },
  });
  let said = '';
  program.stderr?.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  program.once('exit', (code) => {
    if (code) {
      process.stderr.write(`${name} ended with ${code}:\n${said}`);
    }
  });
  process.once('exit', () => program.kill());
  return program;
}

async function stop(program: ChildProcess): Promise<void> {
  if (program.exitCode === null && program.signalCode === null) {
    const exited = once(program, 'exit');
    program.kill();
    await exited;
  }
}

async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(probes.map((probe) => listen(probe)));
  await Promise.all(probes.map((probe) => close(probe)));
  return ports;
}

async function untilListening(port: number, programs: readonly ChildProcess[]): Promise<void> {
  for (let attempt = 0; attempt < 200 && programs.every(({ exitCode }) => exitCode === null); attempt += 1) {
    const isListening = await new Promise<boolean>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
      socket.once('secureConnect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('close', () => resolve(false));
      socket.once('secureConnect', () => socket.destroy());
    });
    if (isListening) {
      return;
    }
    await sleep(50);
  }
  throw new Error('HAProxy or NGINX did not start');
}
