import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../test/support/background-program.js';
import type { Pki } from '../../test/support/pki.js';
import { pinned } from './cores.js';
import { isListening } from './listening.js';
import { findProgram } from './program.js';
import type { Api } from './stage.js';

const modules = '/usr/lib/apache2/modules';

/**
 * Apache httpd that ends mutual TLS and serves a file; with an introspection endpoint, only to who shows a token that is
 * bound to the certificate. Gives what is missing where it can't run.
 */
export async function startApache(
  pki: Pki,
  introspectionEndpoint: string | undefined,
): Promise<(Api & { stop(): Promise<void> }) | string> {
  const program = findProgram('apache2');
  if (program === undefined) {
    return 'apache2 is not on this machine';
  }
  if (introspectionEndpoint !== undefined && !existsSync(`${modules}/mod_oauth2.so`)) {
    return 'libapache2-mod-oauth2 is not on this machine';
  }
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-apache-'));
  chmodSync(folder, 0o755);
  const port = await freePort();
  mkdirSync(join(folder, 'run'), { mode: 0o777 });
  mkdirSync(join(folder, 'site'));
  writeFileSync(join(folder, 'site/accounts'), 'ok');
  writeFileSync(join(folder, 'server.pem'), pki.server.cert);
  writeFileSync(join(folder, 'server.key'), pki.server.key);
  writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
  writeFileSync(join(folder, 'apache.conf'), configuration(folder, port, introspectionEndpoint));
  const [command, ...args] = pinned('server', [
    program,
    '-D',
    'FOREGROUND',
    '-f',
    join(folder, 'apache.conf'),
  ]);
  const child = spawn(command, args, { cwd: folder, stdio: 'ignore' });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill();
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  if (!(await isListening(port))) {
    const log = join(folder, 'run/error.log');
    const said = existsSync(log) ? readFileSync(log, 'utf8') : '';
    await stop();
    throw new Error(`apache2 did not start:\n${said}`);
  }
  return { port, pid: child.pid as number, stop };
}

/** As Debian sets it up, but for the paths; one process, as there is one core. */
function configuration(folder: string, port: number, introspectionEndpoint: string | undefined): string {
  const names = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'socache_shmcb', 'ssl', 'headers'];
  const oauth2 = introspectionEndpoint === undefined ? [] : ['oauth2'];
  const verify =
    'introspect.ssl_verify=false&introspect.auth=client_secret_basic&client_id=api&client_secret=secret' +
    '&expiry=3600&type=mtls&mtls.policy=required';
  const guard = [
    'AuthType oauth2',
    `OAuth2TokenVerify introspect ${introspectionEndpoint} ${verify}`,
    'Require valid-user',
  ];
  return `
ServerRoot ${folder}
ServerName localhost
DefaultRuntimeDir ${folder}/run
PidFile ${folder}/run/apache.pid
Mutex file:${folder}/run
ErrorLog ${folder}/run/error.log
LogLevel warn
${[...names, ...oauth2].map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join('\n')}
${process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : ''}
StartServers 1
ServerLimit 1
ThreadsPerChild 32
MaxRequestWorkers 32
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 600
SSLSessionCache shmcb:${folder}/run/sessions(512000)
Listen 127.0.0.1:${port}
<VirtualHost *:${port}>
  DocumentRoot ${folder}/site
  SSLEngine on
  SSLCertificateFile ${folder}/server.pem
  SSLCertificateKeyFile ${folder}/server.key
  SSLCACertificateFile ${folder}/ca.pem
  SSLVerifyClient optional_no_ca
  SSLOptions +StdEnvVars +ExportCertData
  <Directory ${folder}/site>
    ${introspectionEndpoint === undefined ? 'Require all granted' : guard.join('\n    ')}
    ForceType text/plain
  </Directory>
</VirtualHost>
`;
}
