// NODE_EXTRA_CA_CERTS counts from the start of a process, so each case is a process of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { root } from '../../docs/pages.js';
import { answer, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});

const program = `
import { createResourceServer } from '@mtls-bound/core';
const options = { clientId: 'api', clientSecret: 'a-secret', audience: 'https://api.example.com' };
const server = createResourceServer(options);
await server.ready().then(() => console.log('ready'), ({ code }) => console.log(code));
await server.close();
`;

it.each([
  ['alone', true, undefined, 'ready'],
  ['not set', false, undefined, 'authorization_server_unreachable'],
  ['next to http.ca that names another authority', true, 'other.pem', 'authorization_server_unreachable'],
  ['next to http.ca that names the same', true, 'ca.pem', 'ready'],
])('NODE_EXTRA_CA_CERTS %s', async (_title, isSet, ca, expected) => {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
  const server = await startFaultyServer(pki);
  server.introspection = answer(200, { active: false });
  try {
    writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
    writeFileSync(join(folder, 'other.pem'), pki.selfSignedEc.cert);
    const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', program], {
      cwd: root,
      env: {
        PATH: process.env.PATH,
        MTLS_BOUND_ISSUER: server.issuer,
        ...(isSet && { NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') }),
        ...(ca !== undefined && { MTLS_BOUND_CA_FILE: join(folder, ca) }),
      },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [line] = await once(child.stdout, 'data');
    expect(String(line).trim()).toBe(expected);
  } finally {
    await server.close();
    rmSync(folder, { recursive: true });
  }
});
