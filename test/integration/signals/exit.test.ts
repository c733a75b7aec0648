import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { audience } from '../../support/audience.js';
import { createPki } from '../../support/pki.js';
import { accessToken, Transmitter } from '../../support/transmitter.js';

const core = fileURLToPath(new URL('../../../packages/core/dist/index.js', import.meta.url));

it('a process that polls, with a stream that it set up, ends after close()', async () => {
  const pki = await createPki();
  const transmitter = await new Transmitter(pki).start();
  const folder = mkdtempSync(join(tmpdir(), 'signals-'));
  try {
    const ca = join(folder, 'ca.pem');
    writeFileSync(ca, pki.ca.cert);
    writeFileSync(join(folder, 'own.pem'), pki.alice.cert);
    writeFileSync(join(folder, 'own.key'), pki.alice.key);
    const program = `
      import { bearerTokenAuthentication, createSignalReceiver, tlsClientAuth } from ${JSON.stringify(core)};
      const [transmitter, certFile, keyFile] = process.argv.slice(1);
      const receiver = createSignalReceiver(
        { issuers: [transmitter], revoke: async () => receiver.close() },
        {
          transmitter,
          audience: ${JSON.stringify(audience)},
          clientAuthentication: [bearerTokenAuthentication(() => ${JSON.stringify(accessToken)}), tlsClientAuth({ certFile, keyFile })],
          poll: { wait: 300 },
          stream: { verificationInterval: 60 },
        },
      );
    `;
    const arguments_ = ['--input-type=module', '-e', program, transmitter.issuer];
    const files = [join(folder, 'own.pem'), join(folder, 'own.key')];
    await transmitter.send();
    const { stderr } = await promisify(execFile)(process.execPath, [...arguments_, ...files], {
      env: { PATH: process.env.PATH, MTLS_BOUND_CA_FILE: ca },
      timeout: 20_000,
    });
    expect(stderr).toBe('');
    expect(transmitter.of('/poll').length).toBeGreaterThan(0);
  } finally {
    rmSync(folder, { recursive: true });
    await transmitter.close();
  }
}, 30_000);
