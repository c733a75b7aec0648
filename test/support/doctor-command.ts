import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../../packages/core/src/doctor/finding.js';
import { audience, type TestAuthorizationServer } from './authorization-server.js';
import type { Pki } from './pki.js';

const cli = fileURLToPath(new URL('../../packages/core/bin/mtls-doctor.js', import.meta.url));

/** Files and environment of an API that is well: what the command is given. */
export function commandFiles({ alice, ca, server }: Pki, { issuer, secrets }: TestAuthorizationServer) {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-doctor-'));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const caFile = write('ca.pem', ca.cert);
  const environment: NodeJS.ProcessEnv = {
    MTLS_BOUND_ISSUER: issuer,
    MTLS_BOUND_AUDIENCE: audience,
    MTLS_BOUND_CLIENT_ID: 'api',
    MTLS_BOUND_CLIENT_SECRET: secrets.api,
    MTLS_BOUND_CA_FILE: caFile,
  };
  return {
    cert: write('alice.pem', alice.cert),
    key: write('alice.key', alice.key),
    serverCert: write('server.pem', server.cert),
    serverKey: write('server.key', server.key),
    ca: caFile,
    environment,
    remove: () => rmSync(folder, { recursive: true }),
  };
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as it is built, in a process and with an environment of its own. */
export function runDoctor(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  input = '',
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [cli, ...args], { env }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

/** Runs the command with `--json`, and returns its findings. */
export async function findingsOfDoctor(
  ...run: Parameters<typeof runDoctor>
): Promise<{ readonly code: number | null; readonly findings: Finding[] }> {
  const [args, ...rest] = run;
  const { code, stdout } = await runDoctor([...args, '--json'], ...rest);
  return { code, findings: JSON.parse(stdout) as Finding[] };
}

/** `listen --json` on a free port, until `end`, which resolves with what arrived and the exit code. */
export async function startListening(args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [cli, 'listen', '--json', '--port', '0', ...args], { env });
  const exited = once(child, 'close');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const lines = createInterface(child.stderr);
  const [line] = (await once(lines, 'line')) as [string];
  return {
    port: Number(/:(\d+),/.exec(line)?.[1]),
    /** As `head` does when it has seen enough; resolves with the exit code and what was complained of. */
    async readNoMore() {
      child.stdout.destroy();
      const complaints: string[] = [];
      lines.on('line', (text) => complaints.push(text));
      const [code] = (await exited) as [number | null];
      return { code, complaints };
    },
    async end() {
      child.kill('SIGTERM');
      const [code] = (await exited) as [number | null];
      return { code, arrivals: output.trim().split('\n') };
    },
  };
}
