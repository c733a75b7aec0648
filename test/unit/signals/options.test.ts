import {
  bearerTokenAuthentication,
  ConfigurationError,
  clientSecretBasic,
  createSignalReceiver,
  tlsClientAuth,
} from '@mtls-bound/core';
import { beforeAll, expect, it } from 'vitest';
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

it.each<[string, object, string]>([
  ['poll without credentials', { poll: { endpoint } }, 'clientAuthentication: nothing was given'],
  ['stream without credentials', { stream: { pushEndpoint } }, 'clientAuthentication: nothing was given'],
  ['credentials for nothing', proven, 'clientAuthentication: it was given without poll or stream'],
  [
    'a client secret, which no transmitter knows',
    { poll: { endpoint }, clientAuthentication: clientSecretBasic('a-secret') },
    'clientAuthentication: a value of type object',
  ],
  [
    'two tokens',
    { poll: { endpoint }, clientAuthentication: [token, token] },
    'clientAuthentication: a value of type object',
  ],
  [
    'no credentials in a list',
    { poll: { endpoint }, clientAuthentication: [] },
    'clientAuthentication: a value of type object',
  ],
  ['an endpoint without TLS', { poll: { endpoint: 'http://t.example' }, ...proven }, 'poll.endpoint: "http:'],
  [
    'an endpoint with a password',
    { poll: { endpoint: 'https://a:secret-b@t.example' }, ...proven },
    'poll.endpoint: "https://t.example/" was given',
  ],
  ['a poll that is no object', { poll: true, ...proven }, 'poll: true was given'],
  [
    'an unknown member of poll',
    { poll: { url: endpoint }, ...proven },
    'poll: a name of 3 characters was given; there is no such option',
  ],
  ['an interval of 0', { poll: { endpoint, interval: 0 }, ...proven }, 'poll.interval: 0 was given'],
  ['a wait of -1', { poll: { endpoint, wait: -1 }, ...proven }, 'poll.wait: -1 was given'],
  ['maxEvents of 0', { poll: { endpoint, maxEvents: 0 }, ...proven }, 'poll.maxEvents: 0 was given'],
  [
    'an endpoint next to stream',
    { poll: { endpoint }, stream: {}, ...proven },
    'poll.endpoint: stream was given too',
  ],
  [
    'a push endpoint next to poll',
    { poll: {}, stream: { pushEndpoint }, ...proven },
    'stream.pushEndpoint: poll was given too',
  ],
  ['no push endpoint', { stream: {}, ...proven }, 'stream.pushEndpoint: nothing was given'],
  [
    'an unknown member of stream',
    { stream: { pushEndpoint, create: true }, ...proven },
    'stream: a name of 6 characters was given; there is no such option',
  ],
  ['no events', { stream: { pushEndpoint, events: [] }, ...proven }, 'stream.events: a list was given'],
  [
    'a secret of pushes next to poll',
    { poll: { endpoint }, authorizationHeader: 'Bearer a-secret-of-both', ...proven },
    'authorizationHeader: poll was given too',
  ],
])('is refused at start-up: %s', (_title, options, message) => {
  expect(() => create(options)).toThrow(ConfigurationError);
  expect(() => create(options)).toThrow(`sharedSignals().${message}`);
  expect(() => create(options)).not.toThrow(/secret-|a-token/);
});

it('a certificate next to http.fetch, which would not show it, is refused at start-up', () => {
  const clientAuthentication = tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key });
  const options = { poll: { endpoint }, clientAuthentication, http: { fetch } };
  expect(() => create(options)).toThrow('sharedSignals().http.fetch: it was given next to a certificate');
});

it('two certificates are refused at start-up, and one next to a token is accepted', () => {
  const certificate = tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key });
  const poll = { endpoint: 'https://127.0.0.1:1/poll' };
  expect(() => create({ poll, clientAuthentication: [certificate, certificate] })).toThrow(
    ConfigurationError,
  );
  create({ poll, clientAuthentication: [token, certificate] }).close();
});
