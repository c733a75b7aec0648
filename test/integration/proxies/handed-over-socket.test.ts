// A unix socket that another process opened, as systemd's socket activation does: the server has no path to name.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { createPki, type Pki } from '../../support/pki.js';

const program = fileURLToPath(new URL('../../support/handed-over-api.mjs', import.meta.url));

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});

describe.each(frameworks)('%s: a unix socket that was handed over', (framework) => {
  it.each([
    ['unix', 200],
    ['loopback', 401],
  ])('where trust is %s: %s', async (trust, expected) => {
    const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
    const [opened, socketPath] = [join(folder, 'opened.sock'), join(folder, 'api.sock')];
    const opener = createServer().listen(opened);
    await once(opener, 'listening');
    const { fd } = (opener as unknown as { _handle: { fd: number } })._handle;
    const child = spawn(
      process.execPath,
      ['--no-warnings', program, framework, trust, pki.alice.thumbprint],
      { stdio: ['ignore', 'pipe', 'inherit', fd] },
    );
    try {
      // The opener's end removes the path that it opened; the child's socket is the same under its new name.
      renameSync(opened, socketPath);
      opener.close();
      const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
      const headers = {
        Authorization: `Bearer ${line.toString().trim()}`,
        'X-SSL-Client-Cert': encodeURIComponent(pki.alice.cert),
      };
      const call = request({ socketPath, headers, agent: false }).end();
      const [response] = await once(call, 'response');
      response.resume();
      expect(response.statusCode).toBe(expected);
    } finally {
      child.kill();
      rmSync(folder, { recursive: true });
    }
  });
});
