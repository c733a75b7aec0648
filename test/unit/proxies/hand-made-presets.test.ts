import type * as core from '@mtls-bound/core';
import { ConfigurationError, type ProxyPreset, proxyHeader, RequestRefused } from '@mtls-bound/core';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;

beforeAll(async () => {
  pki = await createPki();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

const isVerified = (value: string): boolean => value === 'yes';
const secret = { header: 'X-Proxy-Secret', value: 'a-secret-of-the-proxy' };
const made = (changes: object = {}): ProxyPreset => ({
  name: 'mine',
  header: 'X-Cert',
  decode: (value) => ({ kind: 'certificate', der: Buffer.from(value, 'base64') }),
  ...changes,
});

/** What the source reads of a request by the trusted proxy. */
function read(preset: ProxyPreset, ...more: string[]): core.ClientCertificate | undefined {
  const rawHeaders = ['x-cert', pki.alice.der.toString('base64'), ...more];
  return proxyHeader(preset, { trust: 'loopback' })({
    rawHeaders,
    headers: {},
    socket: { remoteAddress: '127.0.0.1' },
  } as never);
}

it('a preset whose headers are written in upper case reads them', () => {
  expect(read(made())?.thumbprint).toBe(pki.alice.thumbprint);
  const preset = made({ verdict: { header: 'X-Verdict', isVerified } });
  expect(read(preset, 'X-VERDICT', 'yes')?.verified).toBe(true);
  expect(read(preset, 'X-VERDICT', 'no')?.verified).toBe(false);
});

it('a preset may name the header of the intermediates', () => {
  const list = [pki.ca, pki.server].map(({ der }) => `:${der.toString('base64')}:`);
  const preset = made({ chainHeader: 'X-Chain' });
  const intermediates = (...lines: string[]) =>
    read(preset, ...lines.flatMap((line) => ['X-CHAIN', line]))?.intermediates.map((der) => Buffer.from(der));
  expect(intermediates()).toEqual([]);
  expect(intermediates(list.join(', '))).toEqual([pki.ca.der, pki.server.der]);
  expect(intermediates(...list)).toEqual([pki.ca.der, pki.server.der]);
  // What the value of the certificate's header holds comes first.
  const decode = (value: string) => {
    const der = Buffer.from(value, 'base64');
    return { kind: 'certificate', der, intermediates: [pki.bob.der] };
  };
  const both = read(made({ decode, chainHeader: 'x-chain' }), 'x-chain', list.join());
  expect(both?.intermediates.map((der) => Buffer.from(der))).toEqual([
    pki.bob.der,
    pki.ca.der,
    pki.server.der,
  ]);
});

it('a preset may give the thumbprint alone', () => {
  const decode = () => ({ kind: 'hash', thumbprint: pki.alice.thumbprint });
  expect(read(made({ decode }))?.thumbprint).toBe(pki.alice.thumbprint);
});

describe('a decoder that does not answer as it must: malformed, never a fault of the server', () => {
  it.each<[string, (value: string) => unknown, string | RegExp]>([
    ['throws', () => JSON.parse('{'), 'the decoder threw'],
    ['returns nothing', () => undefined, 'the decoder threw'],
    ['returns text', () => 'certificate', 'the decoder returned no DecodedCertificate'],
    ['returns no DER', () => ({ kind: 'certificate', der: 'MII' }), 'the decoder returned no DER'],
    [
      'returns bytes that are no certificate',
      () => ({ kind: 'certificate', der: Buffer.from('no') }),
      'not exactly one DER certificate',
    ],
    ['returns no thumbprint', () => ({ kind: 'hash', thumbprint: 'x' }), 'the decoder returned no x5t#S256'],
    ['returns a thumbprint of another type', () => ({ kind: 'hash' }), 'the decoder returned no x5t#S256'],
    ['says malformed without a reason', () => ({ kind: 'malformed' }), 'the decoder says so'],
  ])('one that %s', (_title, decode, why) => {
    const refusal = (() => {
      try {
        return read(made({ decode }));
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(refusal).toBeInstanceOf(RequestRefused);
    expect(refusal).toMatchObject({ code: 'certificate_malformed', detail: `x-cert: ${why}` });
  });
});

describe('only true says that a certificate is verified', () => {
  it.each<[string, (value: string) => unknown, boolean]>([
    ['true', () => true, true],
    ['1', () => 1, false],
    ['the text true', () => 'true', false],
    [
      'an exception',
      () => {
        throw new Error('no');
      },
      false,
    ],
  ])('%s', (_title, verdict, verified) => {
    const preset = made({ verdict: { header: 'x-verdict', isVerified: verdict } });
    expect(read(preset, 'x-verdict', 'any')?.verified).toBe(verified);
  });
});

describe('a function of a preset that returns a promise is a fault of the code, not of the request', () => {
  it.each<[string, object, string | RegExp]>([
    ['decode', { decode: async () => ({ kind: 'none' }) }, 'the decode function of the preset'],
    ['decode, rejected', { decode: () => Promise.reject(0) }, 'the decode function of the preset'],
    [
      'isVerified',
      { verdict: { header: 'x-verdict', isVerified: async () => true } },
      'isVerified of the preset',
    ],
    [
      'isVerified, rejected',
      { verdict: { header: 'x-verdict', isVerified: () => Promise.reject(0) } },
      'isVerified of the preset',
    ],
  ])('%s', (_title, changes, message) => {
    expect(() => read(made(changes), 'x-verdict', 'any')).toThrow(`${message} returned a promise`);
  });
});

describe('proxyHeader() refuses a preset', () => {
  it.each<[string, object, string | RegExp]>([
    ['without a name', { name: undefined }, mismatch('proxyHeader(preset).name', 'nothing')],
    [
      'with an underscore',
      { header: 'x_cert' },
      mismatch('proxyHeader(preset).header', 'a string of 6 characters'),
    ],
    [
      'whose decoder is no function',
      { decode: 'pem' },
      mismatch('proxyHeader(preset).decode', 'a string of 3 characters'),
    ],
    [
      'with an unknown member',
      { encoding: 'pem' },
      mismatch('proxyHeader(preset)', 'a name of 8 characters'),
    ],
    ['with a verdict that is none', { verdict: true }, mismatch('proxyHeader(preset).verdict', 'true')],
    [
      'with a verdict without a header',
      { verdict: { isVerified } },
      mismatch('proxyHeader(preset).verdict.header', 'nothing'),
    ],
    [
      'with a verdict without a function',
      { verdict: { header: 'x-verdict' } },
      mismatch('proxyHeader(preset).verdict.isVerified', 'nothing'),
    ],
    [
      'with alwaysVerified: 1',
      { alwaysVerified: 1 },
      mismatch('proxyHeader(preset).alwaysVerified', 'a number'),
    ],
    [
      'with thumbprintOnly: false',
      { thumbprintOnly: false },
      mismatch('proxyHeader(preset).thumbprintOnly', 'false'),
    ],
    [
      'whose certificate is in a header that clients send for another purpose',
      { header: 'Authorization' },
      mismatch('proxyHeader(preset).header', 'a string of 13 characters'),
    ],
    [
      'whose verdict is in such a header',
      { verdict: { header: 'Cookie', isVerified } },
      mismatch('proxyHeader(preset).verdict.header', 'a string of 6 characters'),
    ],
    [
      'with two verdicts',
      { alwaysVerified: true, verdict: { header: 'x-verdict', isVerified } },
      'proxyHeader(preset).verdict: expected nothing next to alwaysVerified, got both',
    ],
    [
      'whose verdict is in the header of the certificate',
      { verdict: { header: 'x-cert', isVerified } },
      mismatch('proxyHeader(preset).verdict.header', 'the header of proxyHeader(preset).header'),
    ],
    [
      'whose intermediates are in a header with an underscore',
      { chainHeader: 'x_chain' },
      mismatch('proxyHeader(preset).chainHeader', 'a string of 7 characters'),
    ],
    [
      'whose intermediates are in the header of the certificate',
      { chainHeader: 'X-CERT' },
      mismatch('proxyHeader(preset).chainHeader', 'the header of proxyHeader(preset).header'),
    ],
    [
      'whose intermediates are in the header of the verdict',
      { chainHeader: 'x-verdict', verdict: { header: 'x-verdict', isVerified } },
      mismatch('proxyHeader(preset).chainHeader', 'the header of proxyHeader(preset).verdict.header'),
    ],
    [
      'whose intermediates are in the header of the secret',
      { chainHeader: 'x-proxy-secret' },
      mismatch('proxyHeader().secret.header', 'the header of proxyHeader(preset).chainHeader'),
    ],
    [
      'whose certificate is in the header of the secret',
      { header: 'x-proxy-secret' },
      mismatch('proxyHeader().secret.header', 'the header of proxyHeader(preset).header'),
    ],
    [
      'whose verdict is in the header of the secret',
      { verdict: { header: 'X-PROXY-SECRET', isVerified } },
      mismatch('proxyHeader().secret.header', 'the header of proxyHeader(preset).verdict.header'),
    ],
  ])('%s', (_title, changes, message) => {
    const make = () => proxyHeader(made(changes), { trust: 'loopback', secret });
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(message);
  });
});
