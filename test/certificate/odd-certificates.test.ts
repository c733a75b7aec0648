// Certificates that TLS accepts and that a library can not read, or not cheaply: every rule gives a 4xx, and only the
// extension that a rule asks for decides.
import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import {
  type CertificatePolicyOptions,
  certificateOnRoute,
  certificateSubject,
  haproxy,
  type ProblemEvent,
  proxyHeader,
  psd2Role,
  type RoutePolicy,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import * as x509 from '@peculiar/x509';
import supertest from 'supertest';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { whyTooCostly } from '../../packages/core/src/certificate/parsing-cost.js';
import { createApi, frameworks, mutualTls, serve } from '../support/apis.js';
import { call } from '../support/calls.js';
import { close, listen } from '../support/loopback.js';
import { createPki, type Identity, issueFrom, type Pki } from '../support/pki.js';
import { recordedEvents } from '../support/recorded-events.js';

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
const longObjectIdentifier = (arcs: number) =>
  new x509.Extension('1.2.3.4', false, Buffer.concat([hex('0682'), sized(arcs), Buffer.alloc(arcs, 1)]));
const sized = (length: number) => Buffer.from([length >> 8, length & 0xff]);

const rules: Record<string, () => RoutePolicy> = {
  san: () => onRoute({ san: { dns: 'api.example' } }),
  extendedKeyUsage: () => onRoute({ extendedKeyUsage: 'clientAuth' }),
  psd2: () => psd2Role('PSP_AI') as RoutePolicy,
  subject: () => certificateSubject({ CN: () => 'odd' }) as RoutePolicy,
};
const onRoute = (options: CertificatePolicyOptions) => certificateOnRoute(options) as RoutePolicy;

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
  describe.each(Object.entries(sources))('a certificate from %s', (_name, start) => {
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
        { san: 403, extendedKeyUsage: 403, psd2: 403, subject: 200 },
      ],
      [
        'with an object identifier of 11,000 arcs',
        () => [...whole, longObjectIdentifier(11_000)],
        { san: 400, extendedKeyUsage: 400, psd2: 400, subject: 400 },
      ],
      [
        'with an extension of 600 elements',
        () => [...whole, new x509.Extension('1.2.3.4', false, hex(`308204b0${'0500'.repeat(600)}`))],
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

describe('what parsing would cost', () => {
  const sequence = (...parts: Buffer[]) => {
    const content = Buffer.concat(parts);
    return Buffer.concat([Buffer.from([0x30, 0x82]), sized(content.length), content]);
  };
  const element = (tag: number, length: number, fill = 1) =>
    Buffer.concat([Buffer.from([tag, 0x82]), sized(length), Buffer.alloc(length, fill)]);

  it.each<[string, () => Buffer, RegExp | undefined]>([
    ['a certificate', () => pki.alice.der, undefined],
    ['one of RSA', () => pki.selfSignedRsa.der, undefined],
    ['an object identifier of 64 bytes', () => sequence(element(6, 64)), undefined],
    ['an object identifier of 65 bytes', () => sequence(element(6, 65)), /object identifier/],
    ['the same, deeper', () => nested(element(6, 65), 400), /object identifier/],
    [
      'an alternative name that is an object identifier of 65 bytes',
      () => sequence(element(0x88, 65)),
      /object identifier/,
    ],
    [
      '2,048 bytes of object identifiers',
      () => sequence(...Array.from({ length: 32 }, () => element(6, 64))),
      undefined,
    ],
    [
      '2,049 bytes of object identifiers',
      () => sequence(element(6, 1), ...Array.from({ length: 32 }, () => element(6, 64))),
      /object identifiers have more than 2048 bytes/,
    ],
    [
      '2,080 bytes of them in an octet string',
      () => sequence(wrapped(4, Buffer.concat(Array.from({ length: 40 }, () => element(6, 52))))),
      /object identifiers have more than 2048 bytes/,
    ],
    ['500 elements', () => sequence(...Array.from({ length: 499 }, () => element(5, 0))), undefined],
    ['501 elements', () => sequence(...Array.from({ length: 500 }, () => element(5, 0))), /500 elements/],
    ['501 elements, one in the other', () => nested(element(5, 0), 500), /500 elements/],
    [
      '501 elements, in an octet string',
      () => sequence(wrapped(4, Buffer.concat(Array.from({ length: 499 }, () => element(5, 0))))),
      /500 elements/,
    ],
    ['1,024 bytes of long ones in an octet string', () => sequence(wrapped(4, element(6, 1_024))), undefined],
    [
      '1,025 bytes of one in an octet string',
      () => sequence(wrapped(4, element(6, 1_025))),
      /object identifier/,
    ],
    [
      '1,025 bytes of one in a bit string',
      () => sequence(wrapped(3, element(6, 1_025))),
      /object identifier/,
    ],
    [
      'more than 1,024 bytes of several in octet strings',
      () => sequence(...Array.from({ length: 9 }, () => wrapped(4, element(6, 120)))),
      /object identifier/,
    ],
    [
      'random bytes that look like an element by chance',
      () => sequence(wrapped(4, Buffer.from('3001ff', 'hex'))),
      undefined,
    ],
    ['opaque bytes of 8,192', () => sequence(element(4, 8_192, 0xff)), undefined],
    ['opaque bytes of 8,193', () => sequence(element(4, 8_193, 0xff)), /8192 bytes/],
    ['16,384 bytes', () => sequence(element(12, 16_376)), undefined],
    ['16,385 bytes', () => sequence(element(12, 16_377)), /16384 bytes/],
    ['an indefinite length', () => Buffer.from('3080020101' + '0000', 'hex'), /no DER/],
    ['a length beyond its end', () => Buffer.from('300502', 'hex'), /no DER/],
    ['a constructed element that holds no elements', () => Buffer.from('3001ff', 'hex'), /no DER/],
    ['a tag of several bytes', () => Buffer.from('3f810000', 'hex'), /no DER/],
    ['nothing', () => Buffer.alloc(0), undefined],
  ])('%s', (_title, der, expected) => {
    const why = whyTooCostly(der());
    if (expected === undefined) {
      expect(why).toBeUndefined();
    } else {
      expect(why).toMatch(expected);
    }
  });

  function wrapped(tag: number, content: Buffer): Buffer {
    const inner = tag === 3 ? Buffer.concat([Buffer.from([0]), content]) : content;
    return Buffer.concat([Buffer.from([tag, 0x82]), sized(inner.length), inner]);
  }

  function nested(content: Buffer, depth: number): Buffer {
    return depth === 0 ? content : sequence(nested(content, depth - 1));
  }

  it('a signature of any bytes is cheap', () => {
    for (let turn = 0; turn < 20_000; turn += 1) {
      const signature = Buffer.concat([Buffer.from([0]), randomBytes(turn % 2 === 0 ? 64 : 512)]);
      const der = sequence(Buffer.concat([Buffer.from([3, 0x82]), sized(signature.length), signature]));
      expect(whyTooCostly(der), signature.toString('hex')).toBeUndefined();
    }
  });

  it('every prefix and every changed byte of a certificate gets an answer', () => {
    const { der } = pki.alice;
    for (let at = 0; at < der.length; at += 1) {
      expect(() => whyTooCostly(der.subarray(0, at))).not.toThrow();
      for (const byte of [0, 0x1f, 0x80, 0x84, 0xff]) {
        const changed = Buffer.from(der);
        changed[at] = byte;
        expect(() => whyTooCostly(changed)).not.toThrow();
      }
    }
  });
});
