// A preset of one's own: header names, the verdict, and a proxy that hands on the hash of the certificate alone.

import { ConfigurationError, customHeader, type ProxyPreset, proxyHeader } from '@mtls-bound/core';
import request from 'supertest';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework } from '../../support/apis.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

const hexOf = (thumbprint: string): string => Buffer.from(thumbprint, 'base64url').toString('hex');
const decode = (hex: string) =>
  hex === '' ? undefined : { thumbprint: Buffer.from(hex, 'hex').toString('base64url') };
const isVerified = (value: string): boolean => value === 'OK';
const hashed = { header: 'X-Cert-Sha256', decode, thumbprintOnly: true };

describe.each<Framework>(['Express', 'Express 4', 'Koa', 'Koa 2'])('%s', (framework) => {
  /** The status, and what is wrong. */
  async function answered(
    preset: ProxyPreset,
    headers: [string, string][],
    more: object = {},
  ): Promise<[number, string | undefined]> {
    const server = pretendServer(() => boundClaims(pki.alice));
    const certificate = proxyHeader(preset, { trust: () => true });
    const api = createApi(framework, optionsOver(server, undefined, { certificate, explain: true, ...more }));
    let call = request(api.listener).get('/').auth('token', { type: 'bearer' });
    for (const [name, value] of headers) {
      call = call.set(name, value);
    }
    const { status, headers: answer } = await call;
    return [status, /error_description="([^"]*)"/.exec(answer['www-authenticate'] ?? '')?.[1]];
  }

  it.each<[string, () => string, number, string | undefined]>([
    ['the hash of the certificate in the token', () => hexOf(pki.alice.thumbprint), 200, undefined],
    [
      'in upper case, as the decoder reads it',
      () => hexOf(pki.alice.thumbprint).toUpperCase(),
      200,
      undefined,
    ],
    ['of another certificate', () => hexOf(pki.bob.thumbprint), 401, 'certificate_mismatch'],
    ['an empty header', () => '', 401, 'x-cert-sha256 says that the client sent none'],
    ['garbage', () => 'nonsense', 400, 'a thumbprint that is not 43 characters of base64url'],
    ['a certificate in its place', () => encodeURIComponent(pki.alice.cert), 400, 'not 43 characters'],
  ])('a proxy that hands on the hash alone: %s', async (_title, value, status, why) => {
    const [answer, told] = await answered(customHeader(hashed), [['x-cert-sha256', value()]]);
    expect(answer).toBe(status);
    expect(told).toEqual(why === undefined ? undefined : expect.stringContaining(why));
  });

  it.each([
    ['OK', 200],
    ['FAILED', 403],
    ['', 403],
  ])('a verdict of its own, %j: %s', async (verdict, status) => {
    const preset = customHeader({ ...hashed, verifyHeader: 'X-Verdict', isVerified });
    const headers: [string, string][] = [
      ['x-cert-sha256', hexOf(pki.alice.thumbprint)],
      ['x-verdict', verdict],
    ];
    const certificatePolicy = { requireVerified: true };
    expect((await answered(preset, headers, { certificatePolicy }))[0]).toBe(status);
  });

  it('a hash that was not announced is refused where a rule needs the certificate', async () => {
    const preset = customHeader({ header: 'X-Cert-Sha256', decode });
    const headers: [string, string][] = [['x-cert-sha256', hexOf(pki.alice.thumbprint)]];
    expect((await answered(preset, headers, { certificatePolicy: { subject: 'CN=alice' } }))[0]).toBe(403);
    expect((await answered(preset, headers))[0]).toBe(200);
  });
});

describe('customHeader() refuses', () => {
  const good = { header: 'x-cert', decode: () => undefined };
  const reserved =
    'expected a header name of letters, digits and hyphens, other than Authorization, Cookie, Host and those that HTTP itself uses';

  it.each([
    'Authorization',
    'cookie',
    'HOST',
    'connection',
    'content-length',
    'DPoP',
    'X-Forwarded-For',
    'x cert',
    'x_cert',
    'x-cert:',
    'é',
    '',
  ])('the header %j', (header) => {
    expect(() => customHeader({ ...good, header })).toThrow(ConfigurationError);
    expect(() => customHeader({ ...good, header })).toThrow(reserved);
    expect(() => customHeader({ ...good, verifyHeader: header, isVerified })).toThrow(
      'customHeader().verifyHeader: ',
    );
    const secret = { header, value: 'a-secret-of-the-proxy' };
    expect(() => proxyHeader(customHeader(good), { trust: 'loopback', secret })).toThrow(
      'proxyHeader().secret.header: ',
    );
  });

  it.each<[string, object, string | RegExp]>([
    [
      'verifyHeader without isVerified',
      { verifyHeader: 'x-verdict' },
      'customHeader().verifyHeader: expected isVerified next to it, got nothing there',
    ],
    [
      'isVerified without verifyHeader',
      { isVerified },
      'customHeader().isVerified: expected verifyHeader next to it, got nothing there',
    ],
    [
      'isVerified that is no function',
      { verifyHeader: 'x-verdict', isVerified: 'OK' },
      mismatch('customHeader().isVerified', 'a string of 2 characters'),
    ],
    [
      'one header for both',
      { verifyHeader: 'X-CERT', isVerified },
      mismatch('customHeader().verifyHeader', 'the header of the certificate'),
    ],
    [
      'thumbprintOnly that is no flag',
      { thumbprintOnly: 'yes' },
      mismatch('customHeader().thumbprintOnly', 'a string of 3 characters'),
    ],
  ])('%s', (_title, changes, message) => {
    const make = () => customHeader({ ...good, ...changes });
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(message);
  });
});

it('writes the names of headers in lower case, and announces what it knows', () => {
  const preset = customHeader({ ...hashed, verifyHeader: 'X-Verdict', isVerified });
  expect([preset.header, preset.verdict?.header, preset.thumbprintOnly]).toEqual([
    'x-cert-sha256',
    'x-verdict',
    true,
  ]);
  expect(customHeader({ ...hashed, thumbprintOnly: false }).thumbprintOnly).toBeUndefined();
  const { thumbprintOnly, knowsVerified } = proxyHeader(preset, { trust: 'loopback' });
  expect([thumbprintOnly, knowsVerified]).toEqual([true, true]);
});
