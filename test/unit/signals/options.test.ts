import {
  bearerTokenAuthentication,
  ConfigurationError,
  clientSecretBasic,
  createSignalReceiver,
  tlsClientAuth,
} from '@mtls-bound/core';
import { beforeAll, expect, it } from 'vitest';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Pki } from '../../support/pki.js';

const endpoint = 'https://t.example/poll';
const pushEndpoint = 'https://api.example.com/signals';
const token = bearerTokenAuthentication(() => 'a-token');
const proven = { clientAuthentication: token };

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});

const create = (options: object) =>
  createSignalReceiver(
    { issuers: ['https://t.example'], revoke: async () => undefined },
    { transmitter: 'https://t.example', audience: 'https://api.example.com', ...options },
  );

it.each<[string, object, string | RegExp]>([
  [
    'poll without credentials',
    { poll: { endpoint } },
    mismatch('sharedSignals().clientAuthentication', 'nothing'),
  ],
  [
    'stream without credentials',
    { stream: { pushEndpoint } },
    mismatch('sharedSignals().clientAuthentication', 'nothing'),
  ],
  [
    'credentials for nothing',
    proven,
    'sharedSignals().clientAuthentication: expected poll or stream next to it',
  ],
  [
    'a client secret, which no transmitter knows',
    { poll: { endpoint }, clientAuthentication: clientSecretBasic('a-secret') },
    mismatch('sharedSignals().clientAuthentication', 'a value of type object'),
  ],
  [
    'two tokens',
    { poll: { endpoint }, clientAuthentication: [token, token] },
    mismatch('sharedSignals().clientAuthentication', 'a value of type object'),
  ],
  [
    'no credentials in a list',
    { poll: { endpoint }, clientAuthentication: [] },
    mismatch('sharedSignals().clientAuthentication', 'a value of type object'),
  ],
  [
    'an endpoint without TLS',
    { poll: { endpoint: 'http://t.example' }, ...proven },
    mismatch('sharedSignals().poll.endpoint', '"http://t.example"'),
  ],
  [
    'an endpoint with a password',
    { poll: { endpoint: 'https://a:secret-b@t.example' }, ...proven },
    mismatch('sharedSignals().poll.endpoint', '"https://t.example/"'),
  ],
  ['a poll that is no object', { poll: true, ...proven }, mismatch('sharedSignals().poll', 'true')],
  [
    'an unknown member of poll',
    { poll: { url: endpoint }, ...proven },
    mismatch('sharedSignals().poll', 'a name of 3 characters'),
  ],
  [
    'an interval of 0',
    { poll: { endpoint, interval: 0 }, ...proven },
    mismatch('sharedSignals().poll.interval', '0'),
  ],
  ['a wait of -1', { poll: { endpoint, wait: -1 }, ...proven }, mismatch('sharedSignals().poll.wait', '-1')],
  [
    'maxEvents of 0',
    { poll: { endpoint, maxEvents: 0 }, ...proven },
    mismatch('sharedSignals().poll.maxEvents', '0'),
  ],
  [
    'an endpoint next to stream',
    { poll: { endpoint }, stream: {}, ...proven },
    'sharedSignals().poll.endpoint: expected nothing next to stream',
  ],
  [
    'a push endpoint next to poll',
    { poll: {}, stream: { pushEndpoint }, ...proven },
    'sharedSignals().stream.pushEndpoint: expected nothing next to poll',
  ],
  ['no push endpoint', { stream: {}, ...proven }, mismatch('sharedSignals().stream.pushEndpoint', 'nothing')],
  [
    'an unknown member of stream',
    { stream: { pushEndpoint, create: true }, ...proven },
    mismatch('sharedSignals().stream', 'a name of 6 characters'),
  ],
  [
    'no events',
    { stream: { pushEndpoint, events: [] }, ...proven },
    mismatch('sharedSignals().stream.events', 'a list'),
  ],
  [
    'a secret of pushes next to poll',
    { poll: { endpoint }, authorizationHeader: 'Bearer a-secret-of-both', ...proven },
    'sharedSignals().authorizationHeader: expected nothing next to poll',
  ],
])('is refused at start-up: %s', (_title, options, message) => {
  expect(() => create(options)).toThrow(ConfigurationError);
  expect(() => create(options)).toThrow(message);
  expect(() => create(options)).not.toThrow(/secret-|a-token/);
});

it('a certificate next to http.fetch, which would not show it, is refused at start-up', () => {
  const clientAuthentication = tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key });
  const options = { poll: { endpoint }, clientAuthentication, http: { fetch } };
  expect(() => create(options)).toThrow('sharedSignals().http.fetch: expected nothing next to a certificate');
});

it('two certificates are refused at start-up, and one next to a token is accepted', () => {
  const certificate = tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key });
  const poll = { endpoint: 'https://127.0.0.1:1/poll' };
  expect(() => create({ poll, clientAuthentication: [certificate, certificate] })).toThrow(
    ConfigurationError,
  );
  create({ poll, clientAuthentication: [token, certificate] }).close();
});
