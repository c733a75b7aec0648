import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { main, usage } from '../../../packages/core/src/doctor/main.js';
import { audience } from '../../support/audience.js';
import { runDoctor, startListening } from '../../support/doctor-command.js';
import {
  answer,
  type FaultyServer,
  goodClaims,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';
import { rfc8705AppendixA } from '../../support/vectors.js';

let pki: Pki;
let server: FaultyServer;
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-doctor-'));
const file = (name: string): string => join(folder, name);
const now = Math.floor(Date.now() / 1000);

beforeAll(async () => {
  pki = await createPki();
  server = await startFaultyServer(pki);
  writeFileSync(file('rfc8705.pem'), rfc8705AppendixA.pem);
  writeFileSync(file('alice.pem'), pki.alice.cert);
  writeFileSync(file('ca.pem'), pki.ca.cert);
  writeFileSync(file('options.mjs'), `export default { audience: '${audience}' };`);
  writeFileSync(
    file('issuers.mjs'),
    `const rest = { audience: '${audience}', clientId: 'api', clientSecret: 'secret-of-the-api' };
    export default { issuers: [{ issuer: 'https://first.example.com', ...rest }, { issuer: 'https://as.example.com', ...rest }], selectIssuer: 'in-order' };`,
  );
  writeFileSync(file('none.mjs'), 'export const options = {};');
  writeFileSync(file('throws.mjs'), "throw 'not an Error';");
  writeFileSync(
    file('later.mjs'),
    "setImmediate(() => { throw new Error('the store is gone'); }); export default {};",
  );
  writeFileSync(file('bob.key'), pki.bob.key);
  writeFileSync(file('list.json'), '[]');
});
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  server.metadata = answer(200, goodMetadata(server.issuer));
  server.introspection = answer(200, { active: false });
});
afterEach(() => {
  vi.restoreAllMocks();
});

interface Run {
  readonly code: number;
  readonly output: string;
}

async function run(args: string[], environment: NodeJS.ProcessEnv = {}, input = ''): Promise<Run> {
  let output = '';
  const write = (words: string): void => {
    output += words;
  };
  const { signal } = new AbortController();
  const code = await main(args, {
    write,
    complain: write,
    environment,
    readInput: async () => input,
    signal,
  });
  return { code, output };
}

const environment = (): NodeJS.ProcessEnv => ({
  MTLS_BOUND_ISSUER: server.issuer,
  MTLS_BOUND_AUDIENCE: audience,
  MTLS_BOUND_CLIENT_ID: 'api',
  MTLS_BOUND_CLIENT_SECRET: 'secret-2718281828',
  MTLS_BOUND_CA_FILE: file('ca.pem'),
});

it('thumbprint prints the x5t#S256 of the certificate of RFC 8705, Appendix A', async () => {
  expect(await run(['thumbprint', file('rfc8705.pem')])).toEqual({
    code: 0,
    output: `${rfc8705AppendixA.thumbprint}  ${file('rfc8705.pem')}\n`,
  });
  const { output } = await run(['thumbprint', '--json', file('rfc8705.pem')]);
  expect(JSON.parse(output)).toEqual({ [file('rfc8705.pem')]: rfc8705AppendixA.thumbprint });
});

describe('check', () => {
  it('takes the options from the environment, and finds nothing', async () => {
    const { code, output } = await run([], environment());
    expect(output).toMatch(/^ok .*server_tls: .*TLSv1\.3/);
    expect(output).toContain('answers introspection requests of this API');
    expect(code).toBe(0);
  });

  it('finds a problem, and names its fix', async () => {
    server.introspection = answer(401, {});
    const { code, output } = await run(['check'], environment());
    expect(output).toMatch(/PROBLEM {2}wrong_credentials: .*\n {9}-> check clientId/);
    expect(code).toBe(1);
  });

  it('as JSON; the token comes by standard input; nothing of it is shown, nor of the secret', async () => {
    server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
    const args = ['check', '--json', '--token', '-', '--cert', file('alice.pem')];
    const { output } = await run(args, environment(), 'tok-3141592653\n');
    const codes = (JSON.parse(output) as { code: string }[]).map(({ code }) => code);
    // This server knows every token, and is told of for that.
    expect(codes).toContain('server_knows_anything');
    expect(server.requests.at(-1)?.body).not.toBe('');
    expect(output).not.toMatch(/3141592653|2718281828/);
  });

  it('names a wrong option', async () => {
    const { code, output } = await run(['check']);
    expect(output).toMatch(/PROBLEM {2}configuration: issuer: .*MTLS_BOUND_ISSUER/);
    expect(code).toBe(1);
  });
});

describe('explain', () => {
  let environment: NodeJS.ProcessEnv = {};
  beforeEach(() => {
    environment = { MTLS_BOUND_ISSUER: 'https://as.example.com', MTLS_BOUND_AUDIENCE: `x ${audience}` };
  });
  const explained = async (claims: object, ...more: string[]): Promise<Run> => {
    writeFileSync(file('claims.json'), JSON.stringify(claims));
    return run(['explain', '--claims', file('claims.json'), ...more], environment);
  };
  const good = () => goodClaims('https://as.example.com', pki.alice.thumbprint, { exp: now + 60 });

  it.each<[string, () => Promise<Run>, 0 | 1, RegExp]>([
    ['a good case', () => explained(good(), '--cert', file('alice.pem')), 0, /^ok .*admitted/],
    [
      'no certificate',
      () => explained(good()),
      1,
      /certificate_missing: 401: no certificate was given\n.*by --cert/,
    ],
    [
      'hex',
      () =>
        explained(
          { ...good(), cnf: { 'x5t#S256': Buffer.from(pki.alice.thumbprint, 'base64url').toString('hex') } },
          '--cert',
          file('alice.pem'),
        ),
      1,
      /certificate_mismatch: 401: .*--cert presents .*\n.*-> cnf has the right hash in hex.*RFC 8705 §3\.1/,
    ],
    ['expired', () => explained({ ...good(), exp: 1 }, '--cert', file('alice.pem')), 1, /token_expired: 401/],
    ['not active', () => explained({ active: false }, '--cert', file('alice.pem')), 1, /token_inactive: 401/],
    [
      "the API's own options",
      () => explained({ ...good(), aud: 'x' }, '--cert', file('alice.pem'), '--config', file('options.mjs')),
      1,
      /token_wrong_audience: 401: .*expected aud/,
    ],
    [
      "the environment's audience",
      () => explained({ ...good(), aud: 'y' }, '--cert', file('alice.pem')),
      1,
      /token_wrong_audience: 401: .*expected aud x or https/,
    ],
    [
      "the environment's issuer",
      () => explained({ ...good(), iss: 'https://other.example.com' }, '--cert', file('alice.pem')),
      1,
      /token_wrong_issuer: 401: .*expected iss https:\/\/as\.example\.com/,
    ],
    [
      'one of several issuers',
      () => explained(good(), '--cert', file('alice.pem'), '--config', file('issuers.mjs')),
      0,
      /^ok .*admitted/,
    ],
    [
      'none of several issuers',
      () =>
        explained(
          { ...good(), iss: 'https://other.example.com' },
          '--cert',
          file('alice.pem'),
          '--config',
          file('issuers.mjs'),
        ),
      1,
      /token_wrong_issuer/,
    ],
  ])('%s', async (_, explain, code, output) => {
    const result = await explain();
    expect(result.output).toMatch(output);
    expect(result.output).not.toContain('not_compared');
    expect(result.code).toBe(code);
  });

  it('says what it could compare with nothing', async () => {
    environment = {};
    const { output, code } = await explained({ ...good(), aud: 'anyone' }, '--cert', file('alice.pem'));
    expect(output).toMatch(/^ok .*admitted/);
    expect(output).toMatch(/issuer_not_compared: .*\n.*MTLS_BOUND_ISSUER/);
    expect(output).toMatch(/audience_not_compared: .*\n.*MTLS_BOUND_AUDIENCE/);
    expect(code).toBe(0);
  });
});

it('listen: shows what arrives, and which preset reads it', async () => {
  const end = new AbortController();
  let output = '';
  const listening = new Promise<number>((resolve) => {
    const write = (words: string): void => {
      output += words;
      const [, port] = /listening on 127\.0\.0\.1:(\d+)/.exec(output) ?? [];
      if (port !== undefined) {
        resolve(Number(port));
      }
    };
    const readInput = async () => '';
    const surroundings = { write, complain: write, environment: {}, readInput, signal: end.signal };
    void main(['listen', '--port', '0'], surroundings).then((code) => {
      output += `code ${code}`;
    });
  });
  const port = await listening;
  const headers = {
    'X-SSL-Client-Cert': encodeURIComponent(pki.alice.cert),
    Authorization: 'Bearer tok-31415',
    'X-TLS-Proxy-Secret': 'secret-27182',
  };
  const answered = await new Promise<IncomingMessage>((resolve) =>
    request({ port, host: '127.0.0.1', headers }, resolve).end(),
  );
  expect(await text(answered)).not.toMatch(/31415|27182/);
  end.abort();
  await vi.waitFor(() => expect(output).toContain('code 0'));
  expect(output).toMatch(
    /from 127\.0\.0\.1, plain HTTP\n {2}x-ssl-client-cert: -----BEGIN.*\(\d+ characters\)/,
  );
  expect(output).toMatch(/decodable: x-ssl-client-cert is as nginx\(\) or .*reads it/);
  expect(output).toContain('x-tls-proxy-secret: (not shown)');
  expect(output).not.toMatch(/31415|27182/);
});

it.each([
  [['--help'], 0, usage],
  [
    ['operate'],
    2,
    'there is no such command; the commands are check, listen, probe, proofs, thumbprint, explain',
  ],
  [['constructor'], 2, 'there is no such command'],
  [['--patience'], 2, 'there is no such option; the options are --config, --token'],
  [['check', 'now'], 2, 'check takes options alone'],
  [['thumbprint'], 2, 'thumbprint needs a file'],
  [['thumbprint', '/nowhere.pem'], 2, 'ENOENT'],
  [['thumbprint', file('list.json')], 2, 'list.json is no certificate in PEM'],
  [['probe'], 2, '--url is missing'],
  [['probe', '--url', 'api.example.com'], 2, '--url: the value is no URL; begin with https://'],
  [['probe', '--url', 'localhost:1'], 2, '--url: the value is no URL'],
  [
    ['probe', '--url', 'https://localhost:1', '--cert', file('alice.pem'), '--key', file('bob.key')],
    2,
    'bob.key is no key in PEM that belongs to',
  ],
  [['listen', '--port', 'http'], 2, '--port: the value is no port'],
  [['listen', '--cert', file('alice.pem')], 2, '--key is missing'],
  [['check', '--token', '-'], 2, 'there is no token on the standard input'],
  [
    ['check', '--config', file('throws.mjs')],
    2,
    "can't be loaded: something that is no Error; import it with node",
  ],
  [['explain', '--claims', file('list.json')], 2, 'list.json is no JSON object'],
  [['explain'], 2, '--claims is missing'],
  [['check', '--config', file('none.mjs')], 2, 'has no default export'],
] as const)('%j', async (args, code, words) => {
  const result = await run([...args]);
  expect(result.output).toContain(words);
  expect(result.code).toBe(code);
});

it('ends where the options are a function that never settles', async () => {
  writeFileSync(file('never.mjs'), 'export default () => new Promise(() => undefined);');
  const { code, stderr } = await runDoctor(['check', '--config', file('never.mjs')], {});
  expect(stderr).toContain("can't be loaded: no answer within 10 s");
  expect(code).toBe(2);
});

it('check says that a certificate of our own never comes', async () => {
  writeFileSync(
    file('never-certificate.mjs'),
    `import { tlsClientAuth } from ${JSON.stringify(new URL('../../../packages/core/dist/index.js', import.meta.url).href)};
    export default { issuer: '${server.issuer}', audience: '${audience}', clientId: 'api', http: { timeout: 1 },
      clientAuthentication: tlsClientAuth(() => new Promise(() => undefined)) };`,
  );
  const { code, stdout } = await runDoctor(['check', '--config', file('never-certificate.mjs')], {});
  expect(stdout).toContain('own_certificate_unreadable');
  expect(stdout).toContain('no answer within 10 s');
  expect(code).toBe(1);
});

it('check shows no message of a function of the user, and no query of an endpoint', async () => {
  writeFileSync(
    file('functions.mjs'),
    `import { tlsClientAuth } from ${JSON.stringify(new URL('../../../packages/core/dist/index.js', import.meta.url).href)};
    export default { issuer: '${server.issuer}', audience: '${audience}', clientId: 'api',
      authorizationServerMetadata: { introspection_endpoint: '${server.issuer}/introspect?code=secret-31415' },
      clientAuthentication: tlsClientAuth(() => { throw new RangeError('of secret-31415'); }) };`,
  );
  const { code, stdout } = await runDoctor(['check', '--config', file('functions.mjs')], environment());
  expect(stdout).toContain('own_certificate_unreadable: RangeError');
  expect(stdout).toMatch(/server_tls: https:\/\/\S+\/introspect speaks/);
  expect(stdout).not.toContain('secret-31415');
  expect(code).toBe(1);
});

const secretJwt = () =>
  ['{"alg":"ES256"}', '{"sub":"secret-31415"}', 'secret-31415 signature']
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.');

const clientFiles = ['--cert', file('alice.pem'), '--key', file('alice.key')];

it.each([
  ['the command', ['eyJ-secret-31415']],
  ['an option', ['check', '--secret-31415']],
  ['what follows the command', ['check', 'secret-31415']],
  ['--key', ['listen', '--cert', file('alice.pem'), '--key', '-----BEGIN PRIVATE KEY-----\nsecret-31415']],
  ['--claims', ['explain', '--claims', '{"sub":"secret-31415"}']],
  ['--cert', ['check', '--cert', 'eyJ.secret-31415.x']],
  ['the token', ['check', '--token', 'secret-31415-token']],
  ['a password in an error of --config', ['check', '--config', file('address.mjs')]],
  ['a secret in an error of --config', ['check', '--config', file('secret.mjs')]],
  ['Basic credentials in an error of --config', ['check', '--config', file('basic.mjs')]],
  ['--config', ['check', '--config', 'secret-31415']],
  ['--config without options', ['check', '--config', file('secret-31415.mjs')]],
  ['--claims, opaque', ['explain', '--claims', 'secret-31415']],
  ['--cert, opaque', ['check', '--cert', 'secret-31415']],
  ['--key, opaque', ['listen', '--cert', file('alice.pem'), '--key', 'secret-31415']],
  ['a file of thumbprint', ['thumbprint', 'secret-31415']],
  ['--host', ['listen', '--host', 'secret-31415']],
  ['--ca', [...['probe', '--url', 'https://127.0.0.1:1/', '--ca', 'secret-31415'], ...clientFiles]],
  ['--header', [...['probe', '--url', 'https://127.0.0.1:1/', '--header', 'secret-31415 '], ...clientFiles]],
  ['an option without its value', ['check', '--token', '--secret-31415']],
  ['--port', ['listen', '--port', 'secret-31415']],
  ['--url that is no URL', ['probe', '--url', 'secret-31415']],
  [
    'the password of --url',
    [
      ...['probe', '--url', 'http://user:secret-31415@127.0.0.1:1/'],
      ...['--cert', file('alice.pem'), '--key', file('alice.key')],
    ],
  ],
])('shows no secret that stands in place of %s', async (_title, args) => {
  writeFileSync(file('alice.key'), pki.alice.key);
  writeFileSync(
    file('address.mjs'),
    "throw new Error('no connection to redis://user:secret-31415@localhost:6379');",
  );
  writeFileSync(file('basic.mjs'), "throw new Error('Basic secret-31415');");
  writeFileSync(file('secret-31415.mjs'), 'export const options = {};');
  writeFileSync(file('secret.mjs'), "throw new Error('refused: Bearer secret-31415');");
  const { output, code } = await run(args);
  expect(output).not.toContain('secret-31415');
  expect(code).toBeGreaterThan(0);
});

it.each([
  ['--ca', ['probe', '--url', 'https://127.0.0.1:1/', '--ca', file('joined.pem'), ...clientFiles]],
  ['--cert', ['certificate', '--cert', file('joined.pem')]],
])('says of %s that files were joined without a line end', async (_title, args) => {
  writeFileSync(file('alice.key'), pki.alice.key);
  writeFileSync(file('joined.pem'), `${pki.alice.cert.trim()}${pki.ca.cert}`);
  const { output, code } = await run(args);
  expect(output).toContain('a BEGIN or END marker is not a line of its own');
  expect(code).toBe(2);
});

describe.each(['check', 'check --json'])(
  '%s shows no token that the authorization server sends back',
  (command) => {
    it.each([
      ['as the audience', (token: string) => ({ aud: token })],
      ['within the audience', (token: string) => ({ aud: [`https://x.example.com/?token=${token}`] })],
      ['as the thumbprint', (token: string) => ({ cnf: { 'x5t#S256': token } })],
      ['as the issuer', (token: string) => ({ iss: token })],
    ])('%s', async (_title, changes) => {
      for (const token of ['opaque-token-of-the-client', secretJwt()]) {
        server.introspection = answer(200, {
          ...goodClaims(server.issuer, pki.alice.thumbprint),
          ...changes(token),
        });
        const { output } = await run(
          [...command.split(' '), '--token', '-', '--cert', file('alice.pem')],
          environment(),
          token,
        );
        for (const part of token.split('.').filter(({ length }) => length > 15)) {
          expect(output).not.toContain(part);
        }
        expect(output).not.toContain('secret-2718281828');
      }
    });
  },
);

describe('as it is built', () => {
  it('says what fails in the options themselves, without a stack, on the standard error stream', async () => {
    const args = ['check', '--json', '--config', file('later.mjs')];
    expect(await runDoctor(args, environment())).toEqual({
      code: 2,
      stdout: '',
      stderr: 'outside of the doctor something failed, in the options perhaps: Error\n',
    });
  });

  it('ends when its output is closed', async () => {
    const listener = await startListening([], {});
    const end = listener.readNoMore();
    request({ port: listener.port, host: '127.0.0.1' })
      .on('error', () => undefined)
      .end();
    expect(await end).toEqual({ code: 2, complaints: [] });
  });
});
