// Which authorities Node's TLS server accepts for client certificates, which `requireVerified` goes by.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mutualTls } from '../../support/apis.js';
import { createPki, type Pki } from '../../support/pki.js';

/** Answers with Node's verdict on the certificate of the client. */
const server = `
  process.once('disconnect', () => process.exit());
  process.once('message', (options) => {
    require('node:https')
      .createServer(options, (req, res) => res.end(String(req.socket.authorized)))
      .listen(0, '127.0.0.1', function () { process.send(this.address().port); });
  });`;

let pki: Pki;
let folder: string;
const started: ChildProcess[] = [];
beforeAll(async () => {
  pki = await createPki();
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-roots-'));
  writeFileSync(join(folder, 'roots.pem'), pki.ca.cert);
});
afterAll(() => {
  for (const child of started) {
    child.kill();
  }
  rmSync(folder, { recursive: true });
});

/** Starts a server whose Node has the authority of `pki` among its own roots, and sends it a request as alice. */
async function verdictOnAlice(ca: string | undefined): Promise<string> {
  const child = spawn(process.execPath, ['-e', server], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'roots.pem') },
  });
  started.push(child);
  child.send({ ...mutualTls(pki), ca });
  const [port] = await once(child, 'message');
  const { cert, key } = pki.alice;
  const sent = request({ host: '127.0.0.1', port, ca: pki.ca.cert, cert, key, agent: false });
  const answered = once(sent, 'response');
  sent.end();
  const [response] = await answered;
  return text(response);
}

it('without the option ca, a certificate of any of Node’s roots counts as verified', async () => {
  expect(await verdictOnAlice(undefined)).toBe('true');
});

it('with the option ca, only certificates of its authorities count as verified', async () => {
  const other = await createPki('CN=Other CA');
  expect(await verdictOnAlice(other.ca.cert)).toBe('false');
  expect(await verdictOnAlice(pki.ca.cert)).toBe('true');
});
