// `mtls-doctor proofs` against an API that is right, and against APIs that accept one broken proof each.
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../../packages/core/src/doctor/main.js';
import { probeProofs } from '../../../packages/core/src/doctor/proof-probe.js';
import { createProofSigner } from '../../../packages/core/src/testing/proof-signer.js';
import { createApi, type Framework, frameworks, mutualTls } from '../../support/apis.js';
import { runDoctor } from '../../support/doctor-command.js';
import { generateP256 } from '../../support/key-pairs.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
let kit: TestKit;
const pair = generateP256();
const signer = createProofSigner(pair.privateKey);
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-proofs-'));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

beforeAll(async () => {
  pki = await createPki();
  kit = await createTestKit();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Of a request: the members of its proof, if it has one. */
interface Shown {
  readonly req: IncomingMessage;
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
  readonly scheme: string;
}

interface Setting {
  readonly framework?: Framework;
  readonly dpop?: Partial<NonNullable<ResourceServerOptions['dpop']>> | 'off';
  /** Of what a careless API accepts beside what the right one accepts. */
  readonly accepts?: (shown: Shown) => boolean;
  readonly token?: string;
}

async function withApi<T>(
  { framework = 'Express', dpop = {}, accepts = () => false }: Setting,
  use: (url: URL) => Promise<T>,
): Promise<T> {
  const server = createServer(mutualTls(pki));
  const port = await listen(server);
  const origin = `https://127.0.0.1:${port}`;
  const { certificate: _, ...options } = kit.options;
  const { listener } = createApi(framework, {
    ...options,
    ...(dpop !== 'off' && { dpop: { origin, ...dpop } }),
  });
  server.on('request', (req, res) => {
    const lines = req.headersDistinct.dpop ?? [];
    const [header = {}, claims = {}] = (lines[0] ?? '')
      .split('.', 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString() || '{}') as Shown['claims']);
    const [scheme = ''] = (req.headers.authorization ?? '').split(' ');
    if (accepts({ req, header, claims, scheme })) {
      res.end('{}');
    } else {
      listener(req, res);
    }
  });
  try {
    return await use(new URL(`${origin}/`));
  } finally {
    await close(server);
  }
}

const boundToken = (claims: object = {}): string =>
  kit.unboundToken({ claims: { cnf: { jkt: signer.jkt }, token_type: 'DPoP', ...claims } });

function findingsOf(setting: Setting, identity?: { cert: Buffer; key: Buffer }) {
  const token = setting.token ?? boundToken();
  return withApi(setting, async (url) => {
    const options = { url, token, signer, identity, ca: Buffer.from(pki.ca.cert) };
    return (await probeProofs(options)).map(({ status, code }) => `${status} ${code}`);
  });
}

const well = ['ok proof_accepted', 'ok broken_proofs_refused'];

describe.each(frameworks)('%s', (framework) => {
  it('an API that is right is well, also with nonces', async () => {
    expect(await findingsOf({ framework })).toEqual(well);
    expect(await findingsOf({ framework, dpop: { nonce: { secret: 'n'.repeat(32) } } })).toEqual(well);
  });

  it('an API without dpop is a problem', async () => {
    expect(await findingsOf({ framework, dpop: 'off' })).toEqual(['problem dpop_off']);
  });
});

it('a token that is bound to both needs the certificate', async () => {
  const token = boundToken({ cnf: { jkt: signer.jkt, 'x5t#S256': pki.alice.thumbprint } });
  const { cert, key } = pki.alice;
  expect(await findingsOf({ token }, { cert: Buffer.from(cert), key: Buffer.from(key) })).toEqual(well);
  expect(await findingsOf({ token })).toEqual(['problem right_proof_refused']);
});

it.each<[string, Setting]>([
  ['a token of another key', { token: 'unknown' }],
  ['another origin', { dpop: { origin: 'https://api.example.com' } }],
])('%s: the right proof is refused', async (_, setting) => {
  expect(await findingsOf(setting)).toEqual(['problem right_proof_refused']);
});

const now = Date.now() / 1000;
const nonce = { nonce: { secret: 'n'.repeat(32) } };

it.each<[string, Setting['accepts'] & {}, Setting['dpop']?]>([
  ['no_token_accepted', ({ scheme }) => scheme === ''],
  ['no_proof_accepted', ({ scheme, req }) => scheme === 'dpop' && req.headers.dpop === undefined],
  ['no_proof_accepted', ({ scheme, req }) => scheme === 'DPoP' && req.headers.dpop === undefined],
  ['bearer_accepted', ({ scheme }) => scheme === 'Bearer'],
  ['two_proofs_accepted', ({ req }) => req.headersDistinct.dpop?.length === 2],
  ['wrong_type_accepted', ({ header }) => header.typ === 'JWT'],
  ['no_signature_accepted', ({ header }) => header.alg === 'none'],
  [
    'wrong_key_accepted',
    ({ header }) =>
      header.jwk !== undefined &&
      (header.jwk as { x: string }).x !== pair.publicKey.export({ format: 'jwk' }).x,
  ],
  ['wrong_method_accepted', ({ claims }) => claims.htm === 'POST'],
  ['wrong_url_accepted', ({ claims }) => String(claims.htu).endsWith('/mtls-doctor')],
  [
    'wrong_host_accepted',
    ({ claims, req }) => String(claims.htu).includes(String(req.headers['x-forwarded-host'] ?? 'no host')),
  ],
  ['no_ath_accepted', ({ claims }) => claims.htm === 'GET' && claims.ath === undefined],
  ['wrong_ath_accepted', ({ claims }) => claims.ath === 'A'.repeat(43)],
  ['no_jti_accepted', ({ claims }) => claims.htm === 'GET' && claims.jti === undefined],
  ['old_proof_accepted', ({ claims }) => Number(claims.iat) < now - 1_000],
  ['future_proof_accepted', ({ claims }) => Number(claims.iat) > now + 1_000],
  ['wrong_nonce_accepted', ({ claims }) => claims.nonce === 'mtls-doctor', nonce],
])('finds an API with %s', async (code, accepts, dpop = {}) => {
  expect(await findingsOf({ accepts, dpop })).toEqual(['ok proof_accepted', `problem ${code}`]);
});

it('finds an API that accepts a proof twice, and one that verifies no signature', async () => {
  const good = ({ claims, header, scheme, req }: Shown) =>
    scheme === 'DPoP' &&
    req.headersDistinct.dpop?.length === 1 &&
    (header.jwk as { x?: string } | undefined)?.x === pair.publicKey.export({ format: 'jwk' }).x &&
    header.typ === 'dpop+jwt' &&
    header.alg === 'ES256' &&
    claims.htm === 'GET' &&
    /^https:\/\/127\.0\.0\.1:\d+\/$/.test(String(claims.htu)) &&
    claims.jti !== undefined &&
    typeof claims.ath === 'string' &&
    claims.ath !== 'A'.repeat(43) &&
    Math.abs(Number(claims.iat) - now) < 1_000;
  expect(await findingsOf({ accepts: good })).toEqual([
    'ok proof_accepted',
    'problem wrong_signature_accepted',
    'problem replayed_proof_accepted',
  ]);
});

it('an answer that is neither yes nor no is a warning', async () => {
  const server = createServer(mutualTls(pki));
  const url = new URL(`https://127.0.0.1:${await listen(server)}/`);
  let count = 0;
  server.on('request', (_req, res) => {
    count += 1;
    res.statusCode = count === 1 ? 200 : 503;
    res.end();
  });
  const options = { url, signer, identity: undefined, ca: Buffer.from(pki.ca.cert), token: 't' };
  const findings = (await probeProofs(options)).map(({ status, code }) => `${status} ${code}`);
  await close(server);
  expect(new Set(findings)).toEqual(new Set(['ok proof_accepted', 'warning proof_not_judged']));
});

it('an address that does not answer is a problem', async () => {
  const options = {
    url: new URL('https://127.0.0.1:1/'),
    signer,
    identity: undefined,
    ca: undefined,
    token: 't',
  };
  expect((await probeProofs(options)).map(({ code }) => code)).toEqual(['unreachable']);
});

describe('the command', () => {
  const run = async (args: readonly string[], input = '') => {
    let output = '';
    const write = (text: string) => {
      output += text;
    };
    const code = await main(args, {
      write,
      complain: write,
      environment: {},
      readInput: async () => input,
      signal: new AbortController().signal,
    });
    return { code, output };
  };
  const pem = file('client.key', pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString());
  const jwk = file('client.json', JSON.stringify(pair.privateKey.export({ format: 'jwk' })));

  it.each([
    ['PEM', pem],
    ['a JWK', jwk],
  ])('reads the key as %s, and shows neither key nor token', async (_, key) => {
    const ca = file('ca.pem', pki.ca.cert);
    const token = boundToken();
    const { code, output } = await withApi({}, (url) =>
      run(['proofs', '--url', url.href, '--token', '-', '--proof-key', key, '--ca', ca], `${token}\n`),
    );
    expect(output).toContain('accepts a right proof');
    expect(code).toBe(0);
    expect(output).not.toContain(token);
  });

  it.each<[string, string[], RegExp]>([
    ['without URL', ['--token', 't', '--proof-key', pem], /--url is missing/],
    ['without token', ['--url', 'https://a.example/', '--proof-key', pem], /--token is missing/],
    ['without key', ['--url', 'https://a.example/', '--token', 't'], /--proof-key is missing/],
    [
      'with a certificate and without its key',
      ['--url', 'https://a.example/', '--token', 't', '--proof-key', pem, '--cert', pem],
      /--key is missing/,
    ],
    [
      'with a key of another kind',
      [
        '--url',
        'https://a.example/',
        '--token',
        't',
        '--proof-key',
        file('none.key', '{"kty":"oct","k":"c2VjcmV0"}'),
      ],
      /is no private key of P-256, RSA or Ed25519/,
    ],
  ])('%s ends with 2', async (_, args, message) => {
    const { code, output } = await run(['proofs', ...args]);
    expect({ code, output }).toEqual({ code: 2, output: expect.stringMatching(message) });
    expect(output).not.toContain('c2VjcmV0');
  });

  it('explain decides about a token that is bound to a key', async () => {
    const config = file(
      'options.mjs',
      `export default { issuer: 'https://as.example.com', clientId: 'api', clientSecret: 'secret-of-the-api',
        audience: 'https://api.example.com', dpop: { origin: 'https://api.example.com', pathPrefix: '/v1',
        nonce: { secret: '${'n'.repeat(32)}' }, store: { add: () => { throw new Error('used') } } } };`,
    );
    const claims = file(
      'claims.json',
      JSON.stringify({
        iss: 'https://as.example.com',
        aud: 'https://api.example.com',
        exp: Math.floor(now) + 300,
        token_type: 'DPoP',
        cnf: { jkt: signer.jkt },
      }),
    );
    const other = file(
      'other.key',
      generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    );
    const explain = async (...more: string[]) => (await run(['explain', '--claims', claims, ...more])).output;
    expect(await explain('--config', config, '--proof-key', pem)).toContain('admitted: ');
    expect(await explain('--config', config, '--proof-key', other)).toContain('dpop_key_mismatch: 401');
    expect(await explain('--config', config)).toContain('name the private key of the client by --proof-key');
    const off = await runDoctor(
      ['explain', '--claims', claims, '--cert', file('alice.pem', pki.alice.cert)],
      {
        MTLS_BOUND_ISSUER: 'https://as.example.com',
        MTLS_BOUND_AUDIENCE: 'https://api.example.com',
        MTLS_BOUND_CLIENT_ID: 'api',
        MTLS_BOUND_CLIENT_SECRET: 'secret-of-the-api',
      },
    );
    expect(off.stdout).toContain('this API does not accept the scheme DPoP');
  });
});
