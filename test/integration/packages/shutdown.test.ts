import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startAuthorizationServer, testClients } from '../../support/authorization-server.js';
import { createPki } from '../../support/pki.js';

it('close() waits for what is under way, refuses what is not known, and nothing keeps the process alive', async () => {
  const pki = await createPki();
  const server = await startAuthorizationServer(pki);
  const token = await server.token(testClients(pki).alice);
  const settings = {
    issuer: server.issuer,
    clientSecret: server.secrets.api,
    ca: pki.ca.cert,
    token,
    thumbprint: pki.alice.thumbprint,
  };
  try {
    const program = fileURLToPath(new URL('./lingering.mjs', import.meta.url));
    // It is killed, and the test fails, unless it ends by itself.
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', program], {
      env: { PATH: process.env.PATH, SETTINGS: JSON.stringify(settings) },
      timeout: 10_000,
    });
    expect(JSON.parse(stdout)).toEqual({
      order: ['answered', 'closed'],
      clientId: 'alice',
      refusedAfter: 'shutting_down',
      ended: true,
      known: 'alice',
    });
  } finally {
    await server.stop();
  }
});
