// What a client writes into its certificate costs little to read: the libraries get the names and the extensions that a rule
// asks for, and these only if each element is of a known type and short.
import { randomBytes } from 'node:crypto';
import {
  ClientCertificate,
  psd2RolePolicy,
  type RoutePolicy,
  routeCertificatePolicy,
} from '@mtls-bound/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { readCertificateFields } from '../../../packages/core/src/certificate/certificate-fields.js';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import { parseUnlessHashAlone } from '../../../packages/core/src/certificate/parsed-certificate.js';
import { explainTooCostly, measureParsingCost } from '../../../packages/core/src/certificate/parsing-cost.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
beforeAll(async () => {
  await library.load();
  pki = await createPki();
});

type Bytes = Uint8Array | readonly number[];
/** Writes an element of DER. */
function element(tag: number | readonly number[], ...parts: (Bytes | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array)));
  const length = content.length;
  const [high, low] = [length >> 8, length & 0xff];
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, high, low];
  return Buffer.concat([Buffer.from([tag].flat()), Buffer.from(head), content]);
}
const many = (count: number, make: (at: number) => Buffer) =>
  Array.from({ length: count }, (_, at) => make(at));
const sequence = (...parts: Bytes[]) => element(0x30, ...parts);
const nested = (depth: number): Buffer => (depth === 1 ? sequence() : sequence(nested(depth - 1)));
const filled = (tag: number, length: number) => element(tag, Buffer.alloc(length, 1));

const ids = {
  san: [0x55, 0x1d, 0x11],
  eku: [0x55, 0x1d, 0x25],
  qc: [0x2b, 6, 1, 5, 5, 7, 1, 3],
  unknown: [0x2a, 3, 4],
};
const ecdsa = element(6, [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
const clientAuth = element(6, [0x2b, 6, 1, 5, 5, 7, 3, 2]);
const named = (text: Buffer) => sequence(element(0x31, sequence(element(6, [0x55, 4, 3]), text)));
const extension = (id: readonly number[], value: Buffer) => sequence(element(6, id), element(4, value));
// QCStatements with the role PSP_AI (ETSI TS 119 495 §5.1), and with a long text next to it.
const role = sequence(element(6, [4, 0, 0x81, 0x98, 0x27, 1, 3]), element(0x0c, 'PSP_AI'));
const qcStatements = sequence(
  sequence(element(6, [4, 0, 0x8e, 0x46, 1, 1])),
  sequence(element(6, [4, 0, 0x8e, 0x46, 1, 3]), element(2, [15])),
  ...many(4, () =>
    sequence(
      element(6, [4, 0, 0x8e, 0x46, 1, 5]),
      sequence(sequence(element(0x16, 'https://example.com/'.padEnd(300, 'x')), element(0x13, 'en'))),
    ),
  ),
  sequence(
    element(6, [4, 0, 0x81, 0x98, 0x27, 2]),
    sequence(sequence(role), element(0x0c, 'B'.repeat(256)), element(0x0c, 'C'.repeat(256))),
  ),
);

interface Parts {
  readonly serial?: Bytes;
  readonly algorithm?: Buffer;
  readonly issuer?: Buffer;
  readonly subject?: Buffer;
  readonly key?: Bytes;
  readonly keyParameters?: Buffer;
  readonly extensions?: readonly Buffer[];
  readonly signature?: Bytes;
}

/** A certificate as OpenSSL reads it, with parts of any content. */
function written(parts: Parts = {}): Buffer {
  const algorithm = parts.algorithm ?? sequence(ecdsa);
  return sequence(
    sequence(
      element(0xa0, element(2, [2])),
      element(2, parts.serial ?? [1]),
      algorithm,
      parts.issuer ?? named(element(0x0c, 'issuer')),
      sequence(element(0x17, '250101000000Z'), element(0x17, '350101000000Z')),
      parts.subject ?? named(element(0x0c, 'client')),
      sequence(
        sequence(element(6, [0x2a, 3]), parts.keyParameters ?? element(5)),
        element(3, [0], parts.key ?? randomBytes(65)),
      ),
      element(0xa3, sequence(...(parts.extensions ?? [extension(ids.eku, sequence(clientAuth))]))),
    ),
    algorithm,
    element(3, [0], parts.signature ?? randomBytes(70)),
  );
}

const rules: Record<string, RoutePolicy> = {
  subject: routeCertificatePolicy({ subject: 'CN=client' }) as RoutePolicy,
  eku: routeCertificatePolicy({ extendedKeyUsage: 'clientAuth' }) as RoutePolicy,
  san: routeCertificatePolicy({ san: { dns: 'client-7.example' } }) as RoutePolicy,
  qc: psd2RolePolicy('PSP_AI') as RoutePolicy,
};

describe('a certificate that OpenSSL reads', () => {
  const san = (...names: Buffer[]) => extension(ids.san, sequence(...names));
  const eku = extension(ids.eku, sequence(clientAuth));
  const qc = extension(ids.qc, qcStatements);
  const hundred = san(...many(100, (at) => element(0x82, `client-${at}.example`)));
  const whole = [hundred, eku, qc];
  const all = { subject: 'fits', eku: 'fits', san: 'fits', qc: 'fits' } as const;
  const none = { subject: 400, eku: 400, san: 400, qc: 400 };

  it.each<[string, () => Parts, Record<keyof typeof rules, 'fits' | number>]>([
    ['with 100 alternative names and long QCStatements', () => ({ extensions: whole }), all],
    ['with a key of RSA with 16,384 bits', () => ({ extensions: whole, key: randomBytes(2_062) }), all],
    [
      'with a key and a signature of ML-DSA-87',
      () => ({ extensions: whole, key: randomBytes(2_592), signature: randomBytes(4_627) }),
      all,
    ],
    ['with a signature of SLH-DSA-128s', () => ({ extensions: whole, signature: randomBytes(7_856) }), all],
    [
      'with an unknown extension that has a long boolean',
      () => ({ extensions: [...whole, extension(ids.unknown, sequence(filled(1, 9_000)))] }),
      all,
    ],
    [
      'with an unknown extension that has a long relative object identifier',
      () => ({ extensions: [...whole, extension(ids.unknown, filled(0x0d, 9_000))] }),
      all,
    ],
    [
      'with an unknown extension of 2,000 elements',
      () => ({ extensions: [...whole, extension(ids.unknown, sequence(...many(2_000, () => element(5))))] }),
      all,
    ],
    ['with a long boolean in its signature', () => ({ extensions: whole, signature: filled(1, 9_000) }), all],
    ['with a long boolean in its key', () => ({ extensions: whole, key: filled(1, 9_000) }), all],
    [
      'with a long relative object identifier as parameter of its key',
      () => ({ extensions: whole, keyParameters: filled(0x0d, 9_000) }),
      all,
    ],
    [
      'with a long relative object identifier as parameter of its signature',
      () => ({ extensions: whole, algorithm: sequence(ecdsa, filled(0x0d, 5_000)) }),
      all,
    ],
    ['with a long serial number', () => ({ extensions: whole, serial: Buffer.alloc(9_000, 0x7f) }), all],
    [
      'with a long boolean among its usages',
      () => ({ extensions: [hundred, extension(ids.eku, sequence(clientAuth, filled(1, 9_000))), qc] }),
      { ...all, eku: 403 },
    ],
    [
      'with a long boolean in another name',
      () => ({
        extensions: [
          san(
            element(0x82, 'client-7.example'),
            element(0xa0, element(6, [0x2a, 3]), element(0xa0, filled(1, 9_000))),
          ),
          eku,
          qc,
        ],
      }),
      { ...all, san: 403 },
    ],
    [
      'with a long boolean in an octet string of its QCStatements',
      () => ({
        extensions: [hundred, eku, extension(ids.qc, sequence(element(4, filled(1, 9_000))))],
      }),
      { ...all, qc: 403 },
    ],
    [
      'with a long relative object identifier in its subject',
      () => ({ extensions: [eku], subject: named(filled(0x0d, 14_000)) }),
      none,
    ],
    [
      'with a text of 14,000 bytes in its issuer',
      () => ({ extensions: [eku], issuer: named(filled(0x0c, 14_000)) }),
      none,
    ],
    [
      'with 400 alternative names',
      () => ({ extensions: [san(...many(400, () => element(0x82, 'client-7.example'))), eku, qc] }),
      none,
    ],
    [
      'with 400 usages',
      () => ({ extensions: [hundred, extension(ids.eku, sequence(...many(400, () => clientAuth)))] }),
      none,
    ],
    ['with an extension twice', () => ({ extensions: [...whole, eku] }), none],
    ['of more than 16,384 bytes', () => ({ extensions: whole, signature: randomBytes(14_000) }), none],
    [
      'with 101 extensions',
      () => ({ extensions: many(101, (at) => extension([0x2a, at], element(5))) }),
      none,
    ],
  ])('%s: each rule accepts it, or refuses it for what it asks for', async (_title, parts, expected) => {
    const certificate = new ClientCertificate(written(parts()));
    const found: Record<string, 'fits' | number> = {};
    for (const [name, policy] of Object.entries(rules)) {
      found[name] = await outcomeOf(policy, certificate);
    }
    expect(certificate.x509.raw.length).toBeGreaterThan(0);
    expect(found).toEqual(expected);
  });
});

async function outcomeOf(policy: RoutePolicy, certificate: ClientCertificate): Promise<'fits' | number> {
  try {
    await (policy as unknown as (request: object) => unknown)({ authorization: { certificate, claims: {} } });
    return 'fits';
  } catch (error) {
    expect(error).toBeInstanceOf(RequestRefused);
    return (error as RequestRefused).status;
  }
}

describe('what the libraries are given', () => {
  it('is the names and the extensions of rules, and nothing of the rest', () => {
    const rest = { key: randomBytes(2_000), signature: randomBytes(2_000), serial: Buffer.alloc(2_000, 1) };
    const other = extension(ids.unknown, filled(4, 2_000));
    const fields = readCertificateFields(
      written({ ...rest, extensions: [other, extension(ids.qc, sequence())] }),
    );
    const { issuer, subject, extensions } = fields as Exclude<typeof fields, string>;
    expect({ issuer, subject, extensions }).toEqual({
      issuer: named(element(0x0c, 'issuer')),
      subject: named(element(0x0c, 'client')),
      extensions: new Map([
        ['2b06010505070103', { whole: extension(ids.qc, sequence()), value: sequence(), isCritical: false }],
      ]),
    });
  });

  it.each(['alice', 'selfSignedEc', 'selfSignedRsa'] as const)('has both names of %s', (name) => {
    expect(readCertificateFields(pki[name].der)).toMatchObject({
      issuer: expect.any(Uint8Array),
      subject: expect.any(Uint8Array),
    });
  });

  it.each<[string, () => Buffer]>([
    ['nothing', () => Buffer.alloc(0)],
    ['an empty sequence', () => sequence()],
    ['an indefinite length', () => Buffer.from('30800201010000', 'hex')],
    ['a certificate and a byte', () => Buffer.concat([written(), Buffer.from([0])])],
    ['two certificates', () => Buffer.concat([written(), written()])],
    ['a certificate without signature', () => sequence(sequence(), sequence())],
    ['a certificate without fields', () => sequence(sequence(), sequence(ecdsa), element(3, [0]))],
    ['an extension without octet string', () => written({ extensions: [sequence(element(6, ids.eku))] })],
    [
      'an extension whose critical is long',
      () => written({ extensions: [sequence(element(6, ids.eku), filled(1, 2), element(4))] }),
    ],
    [
      'an extension with one element more',
      () => written({ extensions: [sequence(element(6, ids.eku), filled(1, 1), filled(1, 1), element(4))] }),
    ],
  ])('is nothing of %s', (_title, der) => {
    expect(readCertificateFields(der())).toBe('it has not the structure of one in DER');
  });

  it('is decided for every prefix and every changed byte of a certificate', () => {
    const { der } = pki.alice;
    for (let at = 0; at < der.length; at += 1) {
      expect(typeof readCertificateFields(der.subarray(0, at))).toBe('string');
      for (const byte of [0, 0x1f, 0x80, 0x84, 0xff]) {
        const changed = Buffer.from(der);
        changed[at] = byte;
        expect(() => readCertificateFields(changed)).not.toThrow();
      }
    }
  });
});

/** How many bytes the content of an element may have, by its tag. */
const longest: Record<number, number> = {
  1: 1,
  2: 32,
  3: 128,
  4: 128,
  5: 0,
  6: 64,
  10: 32,
  ...Object.fromEntries([12, 18, 19, 20, 22, 26, 27, 30].map((tag) => [tag, 4_096])),
  23: 32,
  24: 32,
  ...Object.fromEntries(many(31, () => Buffer.alloc(0)).map((_, at) => [0x80 + at, 4_096])),
  136: 64,
};
const constructed = [0x30, 0x31, ...Array.from({ length: 31 }, (_, at) => 0xa0 + at)];

describe('an element of a name or an extension', () => {
  const verdict = (der: Buffer) => measureParsingCost(sequence(der)).why;
  const tags = Array.from({ length: 256 }, (_, tag) => tag);

  it('is accepted if its type is known and it is no longer than its type needs', () => {
    const accepted = tags.filter((tag) => verdict(element(tag)) === undefined);
    const known = [...Object.keys(longest).map(Number), ...constructed];
    expect(accepted).toEqual(known.toSorted((a, b) => a - b));
  });

  it.each(Object.entries(longest))('of the type %s has at most %s bytes', (tag, length) => {
    expect(verdict(filled(Number(tag), length))).toBeUndefined();
    expect(verdict(filled(Number(tag), length + 1))).toMatch(`has more than ${length} bytes`);
  });

  it('is refused as UniversalString, of which asn1js reads the lower halves alone', () => {
    expect(verdict(element(0x1c, [0, 1, 0, 0x61]))).toBe('an element has the type 0x1c, which none needs');
  });

  it.each([[[0x1f, 0x01]], [[0x9f, 0x81, 0x01]], [[0xbf, 0x22]], [[0xff, 0x01]]])(
    'with a tag of several bytes, %j, is refused',
    (tag) => {
      expect(verdict(element(tag, [1]))).toBe('it is no DER');
    },
  );

  it('with a length of three bytes, with an indefinite one, and with one beyond the end is refused', () => {
    const lengths = ['0483000001ff', '0480ff0000', '2480040101' + '0000', '0405ff', '30'];
    expect(lengths.map((der) => verdict(Buffer.from(der, 'hex')))).toEqual(Array(5).fill('it is no DER'));
  });

  it('is nested at most 16 deep', () => {
    expect(measureParsingCost(nested(16)).why).toBeUndefined();
    expect(measureParsingCost(nested(17)).why).toMatch('more than 16 deep');
    expect(measureParsingCost(nested(900)).why).toMatch('more than 16 deep');
  });
});

describe('the parts of a certificate together', () => {
  const cost = (...ders: Buffer[]) => explainTooCostly(ders.map((der) => measureParsingCost(der)));
  const nulls = (count: number) => sequence(...many(count, () => element(5)));
  const identifiers = (count: number) => sequence(...many(count, () => filled(6, 64)));

  it('have at most 300 elements', () => {
    expect(cost(nulls(149), nulls(149))).toBeUndefined();
    expect(cost(nulls(149), nulls(150))).toMatch('more than 300 elements');
    expect(cost(nulls(300))).toMatch('more than 300 elements');
  });

  it('count each two bytes of an octet or bit string as an element, for a library may find one there', () => {
    expect(cost(sequence(...many(4, () => filled(4, 128))))).toBeUndefined();
    expect(cost(sequence(...many(5, () => filled(4, 128))))).toMatch('more than 300 elements');
    expect(cost(sequence(...many(5, () => filled(3, 128))))).toMatch('more than 300 elements');
  });

  it('have at most 2,048 bytes of object identifiers', () => {
    expect(cost(identifiers(16), identifiers(16))).toBeUndefined();
    expect(cost(identifiers(16), identifiers(17))).toMatch('more than 2048 bytes');
    expect(cost(sequence(...many(33, () => filled(0x88, 64))))).toMatch('more than 2048 bytes');
  });
});

describe('a certificate that comes again on a new connection', () => {
  const again = (der: Buffer) => parseUnlessHashAlone(new ClientCertificate(der));

  it('is not parsed again', () => {
    const der = written();
    expect(again(der)).toBe(again(Buffer.from(der)));
    expect(again(der)).not.toBe(again(written()));
  });

  it('is refused again, for the same reason', () => {
    const der = written({ subject: named(filled(1, 9_000)) });
    for (const _turn of [1, 2]) {
      expect(() => again(der)).toThrow(RequestRefused);
    }
  });

  it('is parsed again after a thousand others, for what is remembered is bounded', () => {
    const der = written();
    const first = again(der);
    for (let turn = 0; turn < 1_000; turn += 1) {
      again(written());
    }
    expect(again(der)).not.toBe(first);
    expect(again(der)).toEqual(first);
  });

  it('is parsed again after fewer large ones', () => {
    const der = written();
    const first = again(der);
    for (let turn = 0; turn < 200; turn += 1) {
      again(written({ signature: randomBytes(12_000) }));
    }
    expect(again(der)).not.toBe(first);
  });

  it('is not mistaken for the thumbprint alone', () => {
    const der = written();
    const { thumbprint } = new ClientCertificate(der);
    expect(again(der)).toBeDefined();
    expect(parseUnlessHashAlone(new ClientCertificate({ thumbprint }))).toBeUndefined();
  });
});
