// The option certificate may be a function of the application: what it returns, throws and says of itself counts.
import {
  type CertificateSource,
  ClientCertificate,
  createResourceServer,
  type ProblemEvent,
  type RefusedEvent,
  RequestRefused,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');
const alice = new ClientCertificate({ thumbprint: 'A'.repeat(43) });
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

function serverWith(certificate: unknown, more: ResourceServerOptions = {}) {
  const pretend = pretendServer(() => boundClaims(alice));
  const options = { ...more, certificate: certificate as CertificateSource };
  const server = createResourceServer(optionsOver(pretend, undefined, options));
  const send = (socket?: object) => outcomeOf(() => server.authorize(requestWith('token', {}, socket)));
  return { send, asked: pretend.asked };
}

const fail = (error: Error) => () => {
  throw error;
};
const malformed = () => new RequestRefused('certificate_malformed');
const bindings = ['required', 'when-bound', 'report'] as const;

describe.each(bindings)("binding: '%s'", (binding) => {
  it.each<[string, unknown, string]>([
    ['a promise', Promise.resolve(alice), 'a promise'],
    ['null', null, 'neither a ClientCertificate nor undefined'],
    ['true', true, 'neither a ClientCertificate nor undefined'],
    ['a text', alice.thumbprint, 'neither a ClientCertificate nor undefined'],
    ['an object of the same shape', { ...alice }, 'neither a ClientCertificate nor undefined'],
  ])('refuses each request if it returns %s, and asks about no token', async (_title, value, what) => {
    const { send, asked } = serverWith(() => value, { binding });
    expect(await send()).toBe('internal_error');
    expect(problems.at(-1)).toMatchObject({
      code: 'internal_error',
      message: expect.stringContaining(`the option certificate returned ${what}`),
    });
    expect(asked).toEqual([]);
  });

  it('refuses each request if it throws an error of its own', async () => {
    expect(await serverWith(fail(new Error('own')), { binding }).send()).toBe('internal_error');
  });
});

it.each([
  ['required', 'certificate_malformed', []],
  ['when-bound', 'certificate_malformed', []],
  ['report', 'admitted', ['certificate_malformed']],
] as const)("a certificate that can't be read, with binding: '%s': %s", async (binding, expected, codes) => {
  const { send } = serverWith(fail(malformed()), { binding });
  expect(await send()).toBe(expected);
  expect(reported.map(({ refusal }) => refusal.code)).toEqual(codes);
});

describe('with a profile, the TLS of a connection is checked', () => {
  const tls = (version: string) => ({
    remoteAddress: '10.0.0.5',
    encrypted: true,
    getProtocol: () => version,
    getCipher: () => ({ name: 'ECDHE-RSA-AES128-GCM-SHA256' }),
  });
  const plain = { remoteAddress: '10.0.0.5' };

  it.each<[string, object, object, string]>([
    ['says nothing of itself', {}, tls('TLSv1.1'), 'tls_unsuitable'],
    ['says nothing of itself', {}, tls('TLSv1.3'), 'admitted'],
    ['says nothing of itself, without TLS', {}, plain, 'admitted'],
    ['says nothing of itself, without a connection', {}, null as never, 'admitted'],
    ['reads a header', { header: 'x-certificate' }, tls('TLSv1.1'), 'admitted'],
    ['reads the connection', { fromConnection: true }, tls('TLSv1.1'), 'tls_unsuitable'],
    ['reads the connection, without TLS', { fromConnection: true }, plain, 'tls_unsuitable'],
    ['reads no connection', { fromConnection: false }, tls('TLSv1.1'), 'admitted'],
  ])('if the source %s', async (_title, facts, socket, expected) => {
    const source = Object.assign(() => alice, facts);
    const more = { profile: 'fapi2-security', audience: 'https://api.example.com' } as const;
    expect(await serverWith(source, more).send(socket)).toBe(expected);
  });

  it('and without one it is not', async () => {
    const source = Object.assign(() => alice, { fromConnection: true });
    expect(await serverWith(source).send(tls('TLSv1.1'))).toBe('admitted');
  });
});
