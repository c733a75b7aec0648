// Certificates that TLS accepts and that a library can not read, or not cheaply: every rule gives a 4xx, and only the
// extension that a rule asks for decides.
import 'reflect-metadata';
import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import {
  type CertificatePolicyOptions,
  certificateSubjectPolicy,
  haproxy,
  type ProblemEvent,
  proxyHeader,
  psd2RolePolicy,
  type RoutePolicy,
  routeCertificatePolicy,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import * as x509 from '@peculiar/x509';
import supertest from 'supertest';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, serve } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Identity, issueFrom, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

const hex = (text: string) => Buffer.from(text, 'hex');
const san = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'api.example' }]);
const eku = new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]);
// QCStatements with the role PSP_AI (ETSI TS 119 495 §5.1).
const qc = new x509.Extension(
  '1.3.6.1.5.5.7.1.3',
  false,
  hex(
    '3034303206060400819827023028301330110607040081982701030c065053505f41490c084465762042616e6b0c074e4f2d54455354',
  ),
);
const whole = [san, eku, qc];
// A user notice whose BMPString has five bytes, as OpenSSL writes `explicitText=BMP:Hello`.
const oddNotice = new x509.Extension(
  '2.5.29.32',
  false,
  hex('301d301b06032a0304301430120608' + '2b06010505070202' + '30061e0448656c6c'),
);
/** `issuerAltName` with an x400Address, a kind of name that the library does not read. */
const x400Name = new x509.Extension('2.5.29.18', false, hex('3002a300'));
const broken = (oid: string) => new x509.Extension(oid, false, hex('3002a300'));
/** A sequence of one element. */
const long = (tag: number, length: number) => {
  const head = [0x30, 0x82, ...sized(length + 4), tag, 0x82, ...sized(length)];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(length, 1)]);
};
const sized = (length: number) => [length >> 8, length & 0xff];

const rules: Record<string, () => RoutePolicy> = {
  san: () => onRoute({ san: { dns: 'api.example' } }),
  extendedKeyUsage: () => onRoute({ extendedKeyUsage: 'clientAuth' }),
  psd2: () => psd2RolePolicy('PSP_AI') as RoutePolicy,
  subject: () => certificateSubjectPolicy({ CN: () => 'odd' }) as RoutePolicy,
};
const onRoute = (options: CertificatePolicyOptions) => routeCertificatePolicy(options) as RoutePolicy;

let pki: Pki;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});

type Api = { status(identity: Identity, token: string): Promise<number>; close(): Promise<void> };

const sources = {
  async 'the TLS connection'(framework, policy, options): Promise<Api> {
    const { listener, handled } = createApi(framework, options, policy);
    const api = await serve(createServer(mutualTls(pki), listener), handled);
    return {
      status: async (identity, token) =>
        (await call(pki, api, '/policy', identity).auth(token, { type: 'bearer' })).status,
      close: () => api.close(),
    };
  },
  async 'the header of a proxy'(framework, policy, options): Promise<Api> {
    const certificate = proxyHeader(haproxy(), { trust: 'loopback', maxLength: 100_000 });
    const { listener } = createApi(framework, { ...options, certificate }, policy);
    const server = createPlainServer({ maxHeaderSize: 200_000 }, listener);
    const port = await listen(server);
    return {
      status: async (identity, token) =>
        (
          await supertest(`http://127.0.0.1:${port}`)
            .get('/policy')
            .set('X-SSL-Client-Cert', identity.der.toString('base64'))
            .auth(token, { type: 'bearer' })
        ).status,
      close: () => close(server),
    };
  },
} satisfies Record<
  string,
  (
    framework: (typeof frameworks)[number],
    policy: RoutePolicy,
    options: Parameters<typeof createApi>[1],
  ) => Promise<Api>
>;

describe.each(frameworks)('%s', (framework) => {
  describe.each(Object.entries(sources))('a certificate from %s', (from, start) => {
    // OpenSSL does not verify a chain with extensions that it can not read, so names do not count. The
    // proxy here sends no verdict.
    const ofUnverified = from === 'the TLS connection' ? 403 : 200;
    it.each<[string, () => x509.Extension[], Record<keyof typeof rules, number>]>([
      ['that is whole', () => whole, { san: 200, extendedKeyUsage: 200, psd2: 200, subject: 200 }],
      [
        'with an odd text in a policy',
        () => [...whole, oddNotice],
        { san: 200, extendedKeyUsage: 200, psd2: 200, subject: 200 },
      ],
      [
        'with a kind of name that the library does not know',
        () => [...whole, x400Name],
        { san: 200, extendedKeyUsage: 200, psd2: 200, subject: 200 },
      ],
      [
        'whose own extensions can not be read',
        () => [broken('2.5.29.17'), broken('2.5.29.37'), new x509.Extension(qc.type, false, hex('30'))],
        { san: 403, extendedKeyUsage: 403, psd2: 403, subject: ofUnverified },
      ],
      [
        'with a boolean of 15,000 bytes in an extension that no rule reads',
        () => [...whole, new x509.Extension('1.2.3.4', false, long(0x01, 15_000))],
        { san: 200, extendedKeyUsage: 200, psd2: 200, subject: 200 },
      ],
      [
        'with an object identifier of 11,000 arcs in an extension that no rule reads',
        () => [...whole, new x509.Extension('1.2.3.4', false, long(0x06, 11_000))],
        { san: 200, extendedKeyUsage: 200, psd2: 200, subject: 200 },
      ],
      [
        'with a boolean of 4,000 bytes in each extension that a rule reads',
        () =>
          ['2.5.29.17', '2.5.29.37', qc.type].map((oid) => new x509.Extension(oid, false, long(0x01, 4_000))),
        { san: 403, extendedKeyUsage: 403, psd2: 403, subject: ofUnverified },
      ],
      [
        'with 400 alternative names',
        () => [new x509.Extension('2.5.29.17', false, hex(`308204b0${'820161'.repeat(400)}`)), eku, qc],
        { san: 400, extendedKeyUsage: 400, psd2: 400, subject: 400 },
      ],
      [
        'of 40,000 bytes',
        () => [...whole, new x509.Extension('1.2.3.4', false, Buffer.alloc(40_000, 5))],
        { san: 400, extendedKeyUsage: 400, psd2: 400, subject: 400 },
      ],
    ])('%s: each rule gives its 4xx, and again on the next request', async (_title, extensions, expected) => {
      const identity = await issueFrom(pki, 'CN=odd', extensions());
      const kit = await createTestKit();
      const { certificate: _, ...options } = kit.options;
      const cnf = { 'x5t#S256': identity.thumbprint };
      const found: Record<string, number[]> = {};
      for (const [name, policy] of Object.entries(rules)) {
        const api = await start(framework, policy(), options);
        const token = kit.boundToken({ claims: { cnf } });
        found[name] = [await api.status(identity, token), await api.status(identity, token)];
        await api.close();
      }
      const twice = Object.entries(expected).map(([name, status]) => [name, [status, status]]);
      expect(found).toEqual(Object.fromEntries(twice));
      expect(problems.map(({ code }) => code)).not.toContain('internal_error');
    });
  });
});
