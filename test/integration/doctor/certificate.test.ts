// mtls-doctor certificate: the path of a certificate, or why there is none, and what its lists and responders answer.
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { AuthorityInfoAccessExtension, CRLDistributionPointsExtension } from '@peculiar/x509';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { main } from '../../../packages/core/src/doctor/main.js';
import { authority, client, type Node } from '../../support/chains.js';
import { revocationList } from '../../support/crl.js';
import { close, listen } from '../../support/loopback.js';
import { useFolder } from '../../support/suites.js';

const folder = useFolder();
let server: Server;
let origin: string;
let root: Node;
let middle: Node;
let leaf: Node;
let lists: Record<string, string | undefined>;

beforeAll(async () => {
  server = createServer((req, res) => {
    const list = lists[req.url ?? ''];
    res
      .writeHead(list === undefined ? 404 : 200)
      .end(list && Buffer.from(list.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'));
  });
  origin = `http://127.0.0.1:${await listen(server)}`;
  const listAt = (name: string) => new CRLDistributionPointsExtension([`${origin}/${name}.crl`]);
  root = await authority('CN=Root');
  middle = await authority('CN=Middle', root, { extensions: [listAt('root')] });
  leaf = await client('CN=client', middle, { extensions: [listAt('middle')] });
});
afterAll(() => close(server));
beforeEach(async () => {
  lists = { '/root.crl': await revocationList(root, []), '/middle.crl': await revocationList(middle, []) };
});

let files = 0;
function write(content: string, ending = 'pem'): string {
  files += 1;
  const file = join(folder, `${files}.${ending}`);
  writeFileSync(file, content);
  return file;
}

const thumbprintOf = ({ der }: Node) => createHash('sha256').update(der).digest('base64url');

async function run(certificate: string, policy: object | undefined, ...args: readonly string[]) {
  let output = '';
  const config = policy && write(`export default ${JSON.stringify({ certificatePolicy: policy })};`, 'mjs');
  const code = await main(
    [
      ...['certificate', '--json', '--cert', write(certificate)],
      ...(config === undefined ? [] : ['--config', config]),
      ...args,
    ],
    {
      write: (words) => {
        output += words;
      },
      complain: (words) => {
        output += words;
      },
      environment: {},
      readInput: async () => '',
      signal: new AbortController().signal,
    },
  );
  return {
    code,
    findings: JSON.parse(output) as { status: string; code: string; message: string; fix?: string }[],
  };
}

const policyOf = (revocation: object = {}) => ({
  authorities: root.cert,
  intermediates: middle.cert,
  revocation: { by: 'crl', origins: origin, timeout: 2, ...revocation },
});

it('shows the path, and the lists with their age', async () => {
  const { code, findings } = await run(leaf.cert, policyOf());
  expect(findings.map((finding) => finding.code)).toEqual([
    'chain',
    'revocation_list',
    'revocation_list',
    'certificate_status',
  ]);
  expect(findings[0]?.message).toContain(
    [leaf, middle, root].map((one) => `${one.name} (${thumbprintOf(one)})`).join(' <- '),
  );
  expect(findings[1]?.message).toMatch(
    new RegExp(
      `^the list ${origin}/middle\\.crl of CN=Middle .* is of .*Z, 0\\.0 hours old, until .*Z, \\d+ bytes$`,
    ),
  );
  expect(code).toBe(0);
});

it('takes the authorities between from the file of the certificate, and the anchors from --ca', async () => {
  const { code, findings } = await run(`${leaf.cert}${middle.cert}`, undefined, '--ca', write(root.cert));
  expect(findings[0]?.code).toBe('chain');
  // Without options no origin of this host is asked, and the API would not ask either.
  expect(findings.map(({ status }) => status)).toEqual(['ok', 'warning', 'warning', 'warning']);
  expect(findings[1]).toMatchObject({ code: 'status_origin_not_permitted' });
  expect(findings.at(-1)).toMatchObject({ code: 'revocation_not_checked' });
  expect(code).toBe(0);
});

it('says that the API does not ask', async () => {
  const file = write(`${await revocationList(root, [])}${await revocationList(middle, [])}`, 'crl');
  const plain = await client('CN=plain', middle);
  const { revocation: _, ...rest } = policyOf();
  const { findings } = await run(plain.cert, rest);
  expect(findings.at(-1)).toMatchObject({ status: 'warning', code: 'revocation_not_checked' });
  const { code, findings: known } = await run(plain.cert, policyOf({ crlFiles: file }));
  expect(known.at(-1)).toMatchObject({ status: 'ok', code: 'certificate_status' });
  expect(known.filter((finding) => finding.message.includes('crlFiles'))).toHaveLength(2);
  expect(code).toBe(0);
});

it.each<[string, () => Promise<[string, object]>, RegExp]>([
  [
    'chain_issuer_missing',
    async () => [leaf.cert, { authorities: root.cert }],
    /no certificate is known of CN=Middle, the issuer of CN=client/,
  ],
  [
    'chain_issuer_missing',
    async () => [
      leaf.cert,
      { authorities: (await authority('CN=Other')).cert, intermediates: [middle.cert, root.cert] },
    ],
    /CN=Root \(.*\) is a root, and not in certificatePolicy\.authorities/,
  ],
  [
    'chain_issuer_missing',
    async () => [
      leaf.cert,
      { authorities: root.cert, intermediates: (await authority('CN=Middle', root)).cert },
    ],
    /the key of CN=Middle \(.*\) is not that of the issuer of CN=client/,
  ],
  [
    'chain_expired',
    async () => [(await client('CN=old', middle, { from: -9, to: -2 })).cert, policyOf()],
    /it has expired/,
  ],
  ['authorities_missing', async () => [leaf.cert, {}], /authorities is not set/],
  [
    'configuration',
    async () => [leaf.cert, { authorities: 'missing.pem' }],
    /certificatePolicy\.authorities/,
  ],
])('%s: a problem', async (problem, given, message) => {
  const [certificate, policy] = await given();
  const { code, findings } = await run(certificate, policy);
  expect(findings).toEqual([
    { status: 'problem', code: problem, message: expect.stringMatching(message), fix: expect.any(String) },
  ]);
  expect(code).toBe(1);
});

it('certificate_revoked: a problem, also of an authority', async () => {
  lists['/middle.crl'] = await revocationList(middle, [leaf]);
  const own = await run(leaf.cert, policyOf());
  expect(own.findings.at(-1)).toMatchObject({ status: 'problem', code: 'certificate_revoked' });
  expect(own.code).toBe(1);
  lists['/middle.crl'] = await revocationList(middle, []);
  lists['/root.crl'] = await revocationList(root, [middle]);
  const above = await run(leaf.cert, policyOf({ mode: 'tolerant' }));
  expect(above.findings.at(-1)).toMatchObject({ status: 'problem', code: 'authority_revoked' });
});

it.each(['strict', 'tolerant'] as const)('a list that is not there, in the mode %s', async (mode) => {
  lists['/middle.crl'] = undefined;
  const { code, findings } = await run(leaf.cert, policyOf({ mode }));
  expect(findings.find((finding) => finding.message.includes('/middle.crl'))).toMatchObject({
    status: 'warning',
    code: 'status_unreachable',
    message: expect.stringContaining('can not be used: status 404'),
  });
  expect(findings.at(-1)).toMatchObject({
    status: mode === 'strict' ? 'problem' : 'warning',
    code: 'status_unreachable',
  });
  expect(code).toBe(mode === 'strict' ? 1 : 0);
});

it('a responder that answers with something else', async () => {
  const access = new AuthorityInfoAccessExtension({ ocsp: `${origin}/root.crl` });
  const asked = await client('CN=asked', middle, { extensions: [access] });
  const { findings } = await run(asked.cert, policyOf({ by: 'ocsp' }));
  expect(findings.filter(({ message }) => message.startsWith('the OCSP responder'))).toEqual([
    expect.objectContaining({ status: 'warning', code: 'status_unreadable' }),
  ]);
});
