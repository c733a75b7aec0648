// What `mtls-doctor check` finds at a transmitter of Shared Signals.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bearerTokenAuthentication, tlsClientAuth } from '@mtls-bound/core';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { main } from '../../../packages/core/src/doctor/main.js';
import { checkSignals } from '../../../packages/core/src/doctor/signal-checks.js';
import { audience } from '../../support/audience.js';
import { createPki, type Pki } from '../../support/pki.js';
import { accessToken, json, Transmitter } from '../../support/transmitter.js';

let pki: Pki;
let transmitter: Transmitter;
beforeAll(async () => {
  pki = await createPki();
});
beforeEach(async () => {
  transmitter = await new Transmitter(pki).start();
});
afterEach(() => transmitter.close());

const clientAuthentication = (token = accessToken) => [
  bearerTokenAuthentication(() => token),
  tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key }),
];
const poll = () => ({ poll: {}, clientAuthentication: clientAuthentication() });
const stream = (method: string) => ({
  stream_id: 'ours',
  aud: audience,
  delivery: { method, endpoint_url: `${transmitter.issuer}/poll` },
});
const ofPoll = 'urn:ietf:rfc:8936';

const check = async (options: object = {}) =>
  (
    await checkSignals(
      [transmitter.issuer],
      { transmitter: transmitter.issuer, audience, http: { ca: pki.ca.cert, timeout: 2 }, ...options },
      {},
    )
  ).map(({ status, code }) => `${status} ${code}`);
const read = ['ok signals_configuration', 'ok signals_keys'];

it('a transmitter that pushes is asked for its configuration and its keys', async () => {
  expect(await check()).toEqual(read);
});

it('a stream that is polled and enabled is well, and the check takes no token and changes nothing', async () => {
  transmitter.streams.push(stream(ofPoll));
  const jti = await transmitter.send();
  expect(await check(poll())).toEqual([...read, 'ok signals_poll', 'ok signals_stream']);
  expect([...transmitter.outstanding.keys()]).toEqual([jti]);
  expect(transmitter.asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'GET /streams',
    'POST /poll',
    'GET /status',
  ]);
  expect(transmitter.of('/poll')[0]?.body).toEqual({ maxEvents: 0, returnImmediately: true });
});

it('poll.endpoint is polled for no tokens', async () => {
  const options = { ...poll(), poll: { endpoint: `${transmitter.issuer}/poll` } };
  expect(await check(options)).toEqual([...read, 'ok signals_poll']);
});

it.each(['paused', 'disabled'])('a stream that is %s is a problem', async (status) => {
  transmitter.streams.push(stream(ofPoll));
  transmitter.status = status;
  expect(await check(poll())).toContain('problem signals_stream_stopped');
});

it('a stream that is not there is a problem, and a warning where the option stream creates it', async () => {
  expect(await check(poll())).toEqual([...read, 'problem signals_stream_missing']);
  expect(await check({ ...poll(), stream: {} })).toEqual([...read, 'warning signals_stream_missing']);
  expect(transmitter.streams).toEqual([]);
});

it.each<[string, () => object, string]>([
  [
    'an issuer that is not the transmitter',
    () => ({ transmitter: `${transmitter.issuer}/other` }),
    'problem signals_configuration_unreadable',
  ],
  ['no key for the algorithms', () => ({ algorithms: ['EdDSA'] }), 'problem signals_keys_unusable'],
  [
    'another access token',
    () => ({ ...poll(), clientAuthentication: clientAuthentication('another-token') }),
    'problem signals_stream_unreachable',
  ],
  ['a wrong option', () => ({ audience: '' }), 'problem configuration'],
  ['an issuer that is not configured', () => ({ issuer: 'https://x.example' }), 'problem configuration'],
])('finds %s', async (_title, options, finding) => {
  expect(await check(options())).toContain(finding);
});

it('finds a configuration of another issuer', async () => {
  transmitter.configuration = { issuer: 'https://other.example.com' };
  expect(await check()).toEqual(['problem signals_configuration_unreadable']);
});

it('finds keys that can not be read', async () => {
  transmitter.configuration = { jwks_uri: `${transmitter.issuer}/nothing` };
  expect(await check()).toEqual(['ok signals_configuration', 'problem signals_keys_unusable']);
});

it('finds that the transmitter does not deliver in that way', async () => {
  transmitter.configuration = { delivery_methods_supported: ['urn:ietf:rfc:8935'] };
  expect(await check(poll())).toEqual([...read, 'problem signals_delivery_unsupported']);
});

it('finds a poll that is refused', async () => {
  transmitter.streams.push(stream(ofPoll));
  transmitter.instead.set('POST /poll', (res) => json(res, 403, {}));
  expect(await check(poll())).toContain('problem signals_stream_unreachable');
});

it('mtls-doctor check looks at what the module of --config exports as signals', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'doctor-signals-'));
  const texts: string[] = [];
  try {
    const [ca, config] = [join(folder, 'ca.pem'), join(folder, 'options.mjs')];
    writeFileSync(ca, pki.ca.cert);
    const own = { issuer: transmitter.issuer, audience, clientId: 'api', clientSecret: 'a-secret' };
    const signals = { transmitter: transmitter.issuer, audience };
    writeFileSync(
      config,
      `export default ${JSON.stringify(own)};\nexport const signals = ${JSON.stringify(signals)};\n`,
    );
    await main(['check', '--config', config, '--json'], {
      write: (text) => texts.push(text),
      complain: (text) => texts.push(text),
      environment: { MTLS_BOUND_CA_FILE: ca },
      readInput: async () => '',
      signal: new AbortController().signal,
    });
    const codes = (JSON.parse(texts.join('')) as { code: string }[]).map(({ code }) => code);
    expect(codes).toEqual(expect.arrayContaining(['signals_configuration', 'signals_keys']));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
