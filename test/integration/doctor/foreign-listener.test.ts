// A server in the place of `mtls-doctor listen` answers what it likes. The probe believes its form only once it is checked, and
// writes no control character of it to the terminal.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { listenerHeader } from '../../../packages/core/src/doctor/listener.js';
import { main } from '../../../packages/core/src/doctor/main.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
let folder: string;
let server: Server;
beforeAll(async () => {
  pki = await createPki();
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-doctor-'));
  writeFileSync(join(folder, 'alice.pem'), pki.alice.cert);
  writeFileSync(join(folder, 'alice.key'), pki.alice.key);
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => close(server as never));

/** What the command writes about a server that answers each request with `body`, as if it were a listener. */
async function probed(body: string, ...more: string[]): Promise<{ code: number; written: string }> {
  server = createServer((_req, res) => res.writeHead(200, { [listenerHeader]: '1' }).end(body));
  const port = await listen(server as never);
  let written = '';
  const add = (text: string): void => {
    written += text;
  };
  const files = ['--cert', join(folder, 'alice.pem'), '--key', join(folder, 'alice.key')];
  const code = await main(['probe', '--url', `http://127.0.0.1:${port}/`, ...files, ...more], {
    write: add,
    complain: add,
    signal: new AbortController().signal,
    environment: {},
    readInput: async () => '',
  });
  return { code, written };
}

const good = { peer: '::1', tls: false, headers: {}, isConfigured: true, header: 'x-cert', findings: [] };

it.each([
  ['no JSON', 'hello \u001b[2J'],
  ['null', 'null'],
  ['a list', '[]'],
  ['an empty object', '{}'],
  ['members of other types', JSON.stringify({ ...good, peer: 7 })],
  ['headers that are no object', JSON.stringify({ ...good, headers: null })],
  ['a header that is no list', JSON.stringify({ ...good, headers: { 'x-cert': 'value' } })],
  ['a line that is no text', JSON.stringify({ ...good, headers: { 'x-cert': [7] } })],
  ['no findings', JSON.stringify({ ...good, findings: undefined })],
  ['findings that are no list', JSON.stringify({ ...good, findings: { find: 1 } })],
  ['a finding that is null', JSON.stringify({ ...good, findings: [null] })],
  [
    'a finding of an unknown status',
    JSON.stringify({ ...good, findings: [{ status: 'x', code: 'x', message: 'x' }] }),
  ],
  ['a finding without message', JSON.stringify({ ...good, findings: [{ status: 'ok', code: 'decodable' }] })],
  ['a header name that is none', JSON.stringify({ ...good, header: 'x\r\ny: z' })],
  ['a thumbprint that is no text', JSON.stringify({ ...good, thumbprint: {} })],
])('%s is no answer of a listener', async (_title, body) => {
  const { code, written } = await probed(body);
  expect(code).toBe(1);
  expect(written).toMatch(/^PROBLEM {2}unreachable: .*not one of `mtls-doctor listen`.*\n.*-> .*\n$/);
});

it.each(['__proto__', 'constructor', 'trailer', 'content-length'])(
  'a header named %s ends no probe',
  async (header) => {
    const thumbprint = pki.alice.thumbprint;
    const { code, written } = await probed(
      JSON.stringify({ ...good, thumbprint, header, verifyHeader: header }),
    );
    expect([code, written.split('\n')[0]]).toEqual([
      expect.toBeOneOf([0, 1]),
      'ok       certificate_forwarded: the certificate arrives as it was presented',
    ]);
  },
);

const hostile = 'x\u001b[2J\u009b1A\r\u202e\nok       certificate_forwarded: forged\u2028';
const finding = { status: 'problem', code: 'x', message: hostile, fix: hostile };

it('control characters of a finding are shown by their numbers, on its own line', async () => {
  const { code, written } = await probed(JSON.stringify({ ...good, findings: [finding] }));
  expect(code).toBe(1);
  const shown = 'x\\u001b[2J\\u009b1A\\u000d\\u202e\\u000aok       certificate_forwarded: forged\\u2028';
  expect(written.split('\n').slice(0, 2)).toEqual([`PROBLEM  x: ${shown}`, `         -> ${shown}`]);
  expect(written).not.toMatch(/[^\P{C}\n]/u);
});

it('with --json the findings are the same, and no control character is written', async () => {
  const { written } = await probed(JSON.stringify({ ...good, findings: [finding] }), '--json');
  expect(JSON.parse(written)[0]).toEqual(finding);
  expect(written).not.toMatch(/[^\P{C}\n]/u);
});
