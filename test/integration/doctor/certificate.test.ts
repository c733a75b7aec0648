// mtls-doctor certificate: the path of a certificate, or why there is none, and what its lists and responders answer.
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { AuthorityInfoAccessExtension, CRLDistributionPointsExtension, KeyUsageFlags } from '@peculiar/x509';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
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

const run = (certificate: string, policy: object | undefined, ...args: readonly string[]) =>
  runWith(certificate, policy && { options: { certificatePolicy: policy } }, ...args);

/** Runs the doctor with a module of these exports. */
async function runWith(
  certificate: string,
  module: { readonly options?: object; readonly routes?: unknown } | undefined,
  ...args: readonly string[]
) {
  let output = '';
  const exported = [
    `export default ${JSON.stringify(module?.options ?? {})};`,
    ...(module?.routes === undefined
      ? []
      : [`export const certificatePolicies = ${JSON.stringify(module.routes)};`]),
  ];
  const config = module && write(exported.join('\n'), 'mjs');
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
  revocationCheck: { by: 'crl', origins: origin, timeout: 2, ...revocation },
});

it('shows the path, and the lists with their age', async () => {
  const { code, findings } = await run(leaf.cert, policyOf());
  expect(findings.map((finding) => finding.code)).toEqual(['chain', 'crl', 'crl', 'certificate_status']);
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

it('checks by the policies of routes, each under its name', async () => {
  const other = await authority('CN=Other');
  const { revocationCheck: _, ...notAsking } = policyOf();
  const routes = [policyOf(), { requireValidNow: true }, { authorities: other.cert }, notAsking];
  const { code, findings } = await runWith(leaf.cert, { routes });
  const found = findings.map(({ status, code: what, message }) => [message.split(':')[0], status, what]);
  expect(found).toEqual([
    ['certificatePolicies[0]', 'ok', 'chain'],
    ['certificatePolicies[0]', 'ok', 'crl'],
    ['certificatePolicies[0]', 'ok', 'crl'],
    ['certificatePolicies[0]', 'ok', 'certificate_status'],
    ['certificatePolicies[2]', 'problem', 'chain_issuer_missing'],
    ['certificatePolicies[3]', 'ok', 'chain'],
    ['certificatePolicies[3]', 'warning', 'status_origin_not_permitted'],
    ['certificatePolicies[3]', 'warning', 'status_origin_not_permitted'],
    ['certificatePolicies[3]', 'warning', 'revocation_not_checked'],
  ]);
  expect(findings.at(-1)).toMatchObject({
    message: expect.stringContaining('certificatePolicies[3].revocationCheck is not set'),
  });
  expect(code).toBe(1);
});

it('checks by the policy of all routes and by that of a route', async () => {
  const options = { certificatePolicy: { authorities: root.cert } };
  const { findings } = await runWith(leaf.cert, { options, routes: policyOf() });
  expect(findings[0]).toMatchObject({
    code: 'chain_issuer_missing',
    message: expect.stringMatching(/^certificatePolicy: its chain leads to none/),
  });
  expect(findings.at(-1)).toMatchObject({
    code: 'certificate_status',
    message: expect.stringMatching(/^certificatePolicies: none of the certificates/),
  });
  // One policy alone needs no name.
  const alone = await runWith(leaf.cert, { routes: policyOf() });
  expect(alone.findings.at(-1)?.message).toMatch(/^none of the certificates/);
});

it.each<[string, unknown, RegExp]>([
  ['a text', ['clients-ca.pem'], /^certificatePolicies\[0\]: /],
  ['an unknown name', { authorities: 'x', autorities: 'x' }, /^certificatePolicies\.autorities: /],
])('%s is no policy of a route', async (_title, routes, message) => {
  const { code, findings } = await runWith(leaf.cert, { routes });
  expect(findings).toMatchObject([{ status: 'problem', code: 'configuration' }]);
  expect(findings[0]?.message).toMatch(message);
  expect(code).toBe(1);
});

it('judges times by the clockTolerance of the options', async () => {
  // The list ends an hour from now: the clock of this process is ahead.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 + 100_000 });
  try {
    const verdict = async (clockTolerance: number | undefined) => {
      const options = {
        certificatePolicy: policyOf(),
        ...(clockTolerance !== undefined && { clockTolerance }),
      };
      const { findings } = await runWith(leaf.cert, { options });
      return findings.slice(1).map((finding) => finding.code);
    };
    expect(await verdict(undefined)).toEqual(Array(3).fill('status_outdated'));
    expect(await verdict(60)).toEqual(Array(3).fill('status_outdated'));
    expect(await verdict(200)).toEqual(['crl', 'crl', 'certificate_status']);
    const options = { certificatePolicy: policyOf(), clockTolerance: 1_000 };
    expect((await runWith(leaf.cert, { options })).findings).toMatchObject([
      { code: 'configuration', message: expect.stringContaining('clockTolerance') },
    ]);
  } finally {
    vi.useRealTimers();
  }
});

it('shows a list that a key for lists alone signed', async () => {
  const newKey = await authority('CN=Middle', root, {
    keyUsage: KeyUsageFlags.cRLSign,
    extensions: [new CRLDistributionPointsExtension([`${origin}/root.crl`])],
  });
  lists['/middle.crl'] = await revocationList(newKey, []);
  const without = await run(leaf.cert, policyOf());
  expect(without.findings.at(-1)).toMatchObject({ status: 'problem', code: 'status_wrong_signer' });
  const intermediates = [middle.cert, newKey.cert];
  const { findings } = await run(leaf.cert, { ...policyOf(), intermediates });
  expect(findings.map(({ code }) => code)).toEqual(['chain', 'crl', 'crl', 'certificate_status']);
  const file = write(`${await revocationList(root, [])}${await revocationList(newKey, [])}`, 'crl');
  const plain = await client('CN=plain', middle);
  const policy = { ...policyOf({ crlFiles: file }), intermediates };
  const { code, findings: ofFiles } = await run(plain.cert, policy);
  expect(ofFiles.at(-1)).toMatchObject({ status: 'ok', code: 'certificate_status' });
  expect(ofFiles.filter(({ message }) => message.includes('crlFiles'))).toHaveLength(2);
  expect(code).toBe(0);
});

it('shows once that a list in a file can not be used', async () => {
  const good = `${await revocationList(root, [])}${await revocationList(middle, [])}`;
  const file = write(`${good}-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n`, 'crl');
  const plain = await client('CN=plain', middle);
  const { code, findings } = await run(plain.cert, policyOf({ crlFiles: file }));
  expect(findings.filter(({ status }) => status === 'warning')).toMatchObject([
    {
      code: 'crl_unreadable',
      message: expect.stringContaining('1 of 3 lists can not be used: list 3: it is not a revocation list'),
    },
  ]);
  expect(findings.at(-1)).toMatchObject({ status: 'ok', code: 'certificate_status' });
  expect(code).toBe(0);
});

it('says that the API does not ask', async () => {
  const file = write(`${await revocationList(root, [])}${await revocationList(middle, [])}`, 'crl');
  const plain = await client('CN=plain', middle);
  const { revocationCheck: _, ...rest } = policyOf();
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
    'chain_issuer_missing',
    async () => [(await authority('CN=client')).cert, { authorities: root.cert }],
    /CN=client \(.*\) is self-signed: no authority issued it/,
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

it('a list whose issuer may not sign lists by its key usage', async () => {
  const lacking = await authority('CN=Lacking', root, { keyUsage: KeyUsageFlags.keyCertSign });
  const file = write(`${await revocationList(root, [])}${await revocationList(lacking, [])}`, 'crl');
  const below = await client('CN=below', lacking);
  const policy = { ...policyOf({ crlFiles: file }), intermediates: lacking.cert };
  const { findings } = await run(below.cert, policy);
  expect(findings.find(({ message }) => message.includes('crlFiles'))).toMatchObject({
    status: 'warning',
    code: 'status_wrong_signer',
  });
  expect(findings.at(-1)).toMatchObject({ status: 'problem', code: 'status_wrong_signer' });
});

it('a responder that answers with something else', async () => {
  const access = new AuthorityInfoAccessExtension({ ocsp: `${origin}/root.crl` });
  const asked = await client('CN=asked', middle, { extensions: [access] });
  const { findings } = await run(asked.cert, policyOf({ by: 'ocsp' }));
  expect(findings.filter(({ message }) => message.startsWith('the OCSP responder'))).toEqual([
    expect.objectContaining({ status: 'warning', code: 'status_unreadable' }),
  ]);
});
