// With DPoP a client needs no certificate: behind a proxy the flood guard must know its address.
import { createResourceServer, nginx, type ProblemEvent, proxyHeader } from '@mtls-bound/core';
import { beforeAll, expect, it, vi } from 'vitest';
import { recordedEvents } from '../../support/recorded-events.js';

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

const good = {
  issuer: 'https://as.example.com',
  clientId: 'api',
  clientSecret: 'a-client-secret',
  audience: 'api',
};
const behindProxy = { certificate: proxyHeader(nginx(), { trust: 'loopback' }) };
const dpop = { origin: 'https://api.example.com' };

it.each([
  ['behind a proxy without an address: reported', { ...behindProxy, dpop }, ['clients_indistinct']],
  [
    'behind a proxy with an address',
    { ...behindProxy, dpop, floodGuard: { address: () => '192.0.2.1' } },
    [],
  ],
  ['without flood guard', { ...behindProxy, dpop, floodGuard: false as const }, []],
  ['where Node ends TLS: the address is that of the connection', { dpop }, []],
  ['behind a proxy without DPoP: each client has a certificate', behindProxy, []],
])('%s', (_title, options, expected) => {
  const before = problems.length;
  createResourceServer({ ...good, ...options });
  expect(problems.slice(before).map(({ code }) => code)).toEqual(expected);
});
