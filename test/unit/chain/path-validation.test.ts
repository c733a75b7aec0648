// RFC 5280 §6.1 over certificates that are written here, so that each differs in one thing: their signatures and names
// chain already.
import 'reflect-metadata';
import * as peculiar from '@peculiar/x509';
import { describe, expect, it } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import {
  pathExtensionIds,
  revocationExtensionIds,
} from '../../../packages/core/src/chain/extension-values.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { explainInvalidPath, readAuthorityLimits } from '../../../packages/core/src/chain/path-validation.js';
import { bits, boolean, der, identifier, integer, sequence, text } from '../../support/written-der.js';

await library.load();

/** Milliseconds since the epoch. */
const NOW = 1_800_000_000_000;
const nameOf = (value: string) => Buffer.from(new peculiar.Name(value).toArrayBuffer());
const ids = { ...pathExtensionIds, ...revocationExtensionIds };

interface Written extends Partial<Omit<PathCertificate, 'extensions'>> {
  /** By their names; `undefined` leaves one out. */
  readonly extensions?: Readonly<Partial<Record<keyof typeof ids, Uint8Array | undefined>>>;
  /** Further ones, by their identifiers in hex. */
  readonly others?: readonly (readonly [id: string, isCritical: boolean])[];
}

const keyUsage = (bit: number) => bits(Buffer.from([0x80 >> bit]), 7 - bit);
const [digitalSignature, keyEncipherment, keyAgreement, keyCertSign] = [0, 2, 4, 5].map(keyUsage) as [
  Buffer,
  Buffer,
  Buffer,
  Buffer,
];
const isAuthority = (length?: number) =>
  sequence(boolean(true), ...(length === undefined ? [] : [integer(length)]));
const usages = (...named: string[]) => sequence(...named.map(identifier));
const clientAuth = '1.3.6.1.5.5.7.3.2';
const serverAuth = '1.3.6.1.5.5.7.3.1';
const malformed = Buffer.from([0x30]);
const ed25519 = sequence(identifier('1.3.101.112'));
const sha1 = sequence(identifier('1.2.840.113549.1.1.5'));

function certificate(name: string, { extensions = {}, others = [], ...more }: Written): PathCertificate {
  const known = Object.entries(extensions).flatMap(([of, value]) =>
    value === undefined
      ? []
      : [
          [ids[of as keyof typeof ids], { isCritical: true, value }] as [
            string,
            { isCritical: boolean; value: Uint8Array },
          ],
        ],
  );
  const further = others.map(
    ([id, isCritical]) =>
      [id, { isCritical, value: Buffer.alloc(0) }] as [string, { isCritical: boolean; value: Uint8Array }],
  );
  return {
    thumbprint: `thumbprint of ${name}`,
    version: 3,
    subject: nameOf(`CN=${name}`),
    subjectName: name,
    issuerName: `issuer of ${name}`,
    signatureAlgorithm: ed25519,
    notBefore: NOW - 1_000,
    notAfter: NOW + 1_000,
    extensions: new Map([...known, ...further]),
    ...more,
  } as PathCertificate;
}

const authority = (name: string, { extensions, ...more }: Written = {}): PathCertificate =>
  certificate(name, {
    extensions: { basicConstraints: isAuthority(), keyUsage: keyCertSign, ...extensions },
    ...more,
  });
const client = ({ extensions, ...more }: Written = {}): PathCertificate =>
  certificate('client', { extensions: { keyUsage: digitalSignature, ...extensions }, ...more });
const root = (more: Written = {}): PathCertificate => authority('root', { issuerName: 'root', ...more });

/** `valid`, or why the path is refused. From the client up. */
const outcome = (...path: readonly PathCertificate[]): string =>
  explainInvalidPath(path, NOW)?.why ?? 'valid';
const above = (name: string, why: string): string =>
  `of the certificate thumbprint of ${name} above it: ${why}`;

describe('a path is valid', () => {
  it.each<[string, readonly PathCertificate[]]>([
    ['of a client and its anchor', [client(), root()]],
    ['with authorities between them', [client(), authority('a'), authority('b'), root()]],
    ['without extensions of the client', [certificate('client', {}), root()]],
    ['without extensions, in a certificate of version 1', [certificate('client', { version: 1 }), root()]],
    ['with keyAgreement', [client({ extensions: { keyUsage: keyAgreement } }), root()]],
    [
      'with clientAuth',
      [client({ extensions: { extendedKeyUsage: usages(serverAuth, clientAuth) } }), root()],
    ],
    [
      'with anyExtendedKeyUsage',
      [client({ extensions: { extendedKeyUsage: usages('2.5.29.37.0') } }), root()],
    ],
    [
      'of a client that is an authority itself',
      [authority('client', { extensions: { keyUsage: digitalSignature } }), root()],
    ],
    ['without key usage of an authority', [client(), root({ extensions: { keyUsage: undefined } })]],
    ['with an unknown extension that is not critical', [client({ others: [['2a03', false]] }), root()]],
    [
      'with a critical pointer to a revocation list',
      [client({ extensions: { distributionPoints: sequence() } }), root()],
    ],
    ['from the first millisecond', [client({ notBefore: NOW }), root()]],
    ['to the last millisecond of the last second', [client({ notAfter: NOW - 999 }), root()]],
    [
      'with SHA-1 on the anchor, whose signature proves nothing',
      [client(), root({ signatureAlgorithm: sha1 })],
    ],
    [
      'with as many authorities as the anchor permits',
      [client(), authority('a'), root({ extensions: { basicConstraints: isAuthority(1) } })],
    ],
    [
      'with a self-issued authority more than the anchor permits',
      [
        client(),
        authority('a', { issuerName: 'a' }),
        root({ extensions: { basicConstraints: isAuthority(0) } }),
      ],
    ],
    [
      'with names that can not be read where none are constrained',
      [client({ extensions: { subjectAltName: malformed } }), root()],
    ],
  ])('%s', (_, path) => {
    expect(outcome(...path)).toBe('valid');
  });
});

it('a path is refused by a clock that gives NaN', () => {
  expect(explainInvalidPath([client(), root()], Number.NaN)?.code).toBe('authority_not_valid_yet');
});

describe('a path is refused', () => {
  it.each<[string, readonly PathCertificate[], string]>([
    ['without certificates', [], 'it has no path'],
    ['without an anchor', [client()], 'it has no path'],
    ['before its first millisecond', [client({ notBefore: NOW + 1 }), root()], 'it is not valid yet'],
    ['after its last second', [client({ notAfter: NOW - 1_000 }), root()], 'it has expired'],
    [
      'before the anchor is valid',
      [client(), root({ notBefore: NOW + 1 })],
      above('root', 'it is not valid yet'),
    ],
    [
      'after an authority has expired',
      [client(), authority('a', { notAfter: NOW - 1_000 }), root()],
      above('a', 'it has expired'),
    ],
    [
      'with extensions in a certificate of version 1',
      [client({ version: 1 }), root()],
      'it has extensions and another version than 3',
    ],
    [
      'with an unknown critical extension',
      [client({ others: [['2a03', true]] }), root()],
      'it has a critical extension that is not known here',
    ],
    [
      'with an unknown critical extension of the anchor',
      [client(), root({ others: [['2a03', true]] })],
      above('root', 'it has a critical extension that is not known here'),
    ],
    [
      'with serverAuth alone',
      [client({ extensions: { extendedKeyUsage: usages(serverAuth) } }), root()],
      'its extended key usage lacks clientAuth',
    ],
    [
      'with an extended key usage that can not be read',
      [client({ extensions: { extendedKeyUsage: malformed } }), root()],
      'its extended key usage can not be read',
    ],
    [
      'with an anchor for servers alone',
      [client(), root({ extensions: { extendedKeyUsage: usages(serverAuth) } })],
      above('root', 'its extended key usage lacks clientAuth'),
    ],
    [
      'with encipherment alone',
      [client({ extensions: { keyUsage: keyEncipherment } }), root()],
      'its key usage allows neither digitalSignature nor keyAgreement',
    ],
    [
      'with a key usage that can not be read',
      [client({ extensions: { keyUsage: malformed } }), root()],
      'its key usage or basic constraints can not be read',
    ],
    [
      'with basic constraints of the client that can not be read',
      [client({ extensions: { basicConstraints: malformed } }), root()],
      'its key usage or basic constraints can not be read',
    ],
    [
      'with a signature by SHA-1',
      [client({ signatureAlgorithm: sha1 }), root()],
      'the algorithm of its signature is not accepted',
    ],
    [
      'with such a signature of an authority',
      [client(), authority('a', { signatureAlgorithm: sha1 }), root()],
      above('a', 'the algorithm of its signature is not accepted'),
    ],
    [
      'with an authority more than the anchor permits',
      [client(), authority('a'), root({ extensions: { basicConstraints: isAuthority(0) } })],
      above('a', 'it is one authority more than the path may have'),
    ],
    [
      'with an authority more than one before permits',
      [
        client(),
        authority('b'),
        authority('a', { extensions: { basicConstraints: isAuthority(0) } }),
        root(),
      ],
      above('b', 'it is one authority more than the path may have'),
    ],
    [
      'with a limit that a later authority would widen',
      [
        client(),
        authority('b'),
        authority('a', { extensions: { basicConstraints: isAuthority(5) } }),
        root({ extensions: { basicConstraints: isAuthority(1) } }),
      ],
      above('b', 'it is one authority more than the path may have'),
    ],
    [
      'with an authority behind a self-issued one that permits none',
      [
        client(),
        authority('a'),
        authority('root', { issuerName: 'root', extensions: { basicConstraints: isAuthority(0) } }),
        root(),
      ],
      above('a', 'it is one authority more than the path may have'),
    ],
    [
      'with an authority whose basic constraints say that it is none',
      [client(), authority('a', { extensions: { basicConstraints: sequence() } }), root()],
      above('a', 'it is no authority: its basic constraints do not say so'),
    ],
    [
      'with an authority without basic constraints',
      [client(), authority('a', { extensions: { basicConstraints: undefined } }), root()],
      above('a', 'it is no authority: its basic constraints do not say so'),
    ],
    [
      'with an anchor without extensions',
      [client(), certificate('root', { version: 1 })],
      above('root', 'it is no authority: its basic constraints do not say so'),
    ],
    [
      'with an authority that may not sign certificates',
      [client(), authority('a', { extensions: { keyUsage: digitalSignature } }), root()],
      above('a', 'its key usage does not allow to sign certificates'),
    ],
    ...(['basicConstraints', 'keyUsage', 'nameConstraints'] as const).map(
      (name): [string, readonly PathCertificate[], string] => [
        `with ${name} of an authority that can not be read`,
        [client(), authority('a', { extensions: { [name]: malformed } }), root()],
        above('a', 'its basic constraints, key usage or name constraints can not be read'),
      ],
    ),
    [
      'with policies of an authority that can not be read',
      [client(), authority('a', { extensions: { certificatePolicies: malformed } }), root()],
      above('a', 'its policies can not be read'),
    ],
    [
      'with policies of the client that can not be read',
      [client({ extensions: { certificatePolicies: malformed } }), root()],
      'its policies can not be read',
    ],
    [
      'without the policy that an authority demands',
      [
        client(),
        authority('a', { extensions: { policyConstraints: sequence(der(0x80, Buffer.from([0]))) } }),
        root(),
      ],
      'an authority of its path demands a policy that the path does not have',
    ],
  ])('%s', (_, path, why) => {
    expect(outcome(...path)).toBe(why);
  });
});

describe('name constraints', () => {
  const dnsOnly = sequence(der(0xa0, sequence(text(0x82, 'bank.example'))));
  const bankOnly = sequence(der(0xa0, sequence(der(0xa4, nameOf('O=Bank')))));
  const mailOnly = sequence(der(0xa0, sequence(text(0x81, 'bank.example'))));
  const san = (...names: Buffer[]) => ({ subjectAltName: sequence(...names) });
  const limited = (nameConstraints: Buffer) => root({ extensions: { nameConstraints } });

  it.each<[string, readonly PathCertificate[]]>([
    ['a permitted DNS name', [client({ extensions: san(text(0x82, 'a.bank.example')) }), limited(dnsOnly)]],
    ['no name of that form', [client(), limited(dnsOnly)]],
    ['an empty subject, which is no name', [client({ subject: sequence() }), limited(bankOnly)]],
    ['a permitted subject', [client({ subject: nameOf('O=Bank, CN=a') }), limited(bankOnly)]],
    [
      'a self-issued authority with another name',
      [client({ subject: nameOf('O=Bank') }), authority('a', { issuerName: 'a' }), limited(bankOnly)],
    ],
    [
      'an authority with another name above the one that constrains',
      [
        client({ subject: nameOf('O=Bank') }),
        authority('b', { extensions: { nameConstraints: bankOnly } }),
        authority('a'),
        root(),
      ],
    ],
  ])('pass %s', (_, path) => {
    expect(outcome(...path)).toBe('valid');
  });

  it.each<[string, readonly PathCertificate[], string]>([
    [
      'a DNS name',
      [client({ extensions: san(text(0x82, 'x.example')) }), limited(dnsOnly)],
      'its DNS name violates a name constraint',
    ],
    ['the subject', [client(), limited(bankOnly)], 'its subject violates a name constraint'],
    [
      'a mail address in the subject',
      [client({ subject: nameOf('CN=a, E=a@x.example') }), limited(mailOnly)],
      'its mail address violates a name constraint',
    ],
    [
      'an authority in between',
      [client({ subject: nameOf('O=Bank') }), authority('a'), limited(bankOnly)],
      above('a', 'its subject violates a name constraint'),
    ],
    [
      'a self-issued client: only authorities are left out',
      [client({ issuerName: 'client' }), limited(bankOnly)],
      'its subject violates a name constraint',
    ],
    [
      'the subject, by an authority in between',
      [client(), authority('a', { extensions: { nameConstraints: bankOnly } }), root()],
      'its subject violates a name constraint',
    ],
    [
      'the subject, by a self-issued authority in between',
      [
        client(),
        authority('root', { issuerName: 'root', extensions: { nameConstraints: bankOnly } }),
        root(),
      ],
      'its subject violates a name constraint',
    ],
    [
      'alternative names that can not be read',
      [client({ extensions: { subjectAltName: malformed } }), limited(dnsOnly)],
      'its names can not be read',
    ],
    [
      'a subject that can not be read',
      [client({ subject: integer(1) }), limited(dnsOnly)],
      'its names can not be read',
    ],
  ])('refuse %s', (_, path, why) => {
    expect(outcome(...path)).toBe(why);
  });
});

it('the limits of an authority are its path length and its name constraints, if it has any', () => {
  const names = sequence(der(0xa1, sequence(text(0x82, 'a'))));
  const limits = { basicConstraints: isAuthority(2), nameConstraints: names };
  expect(readAuthorityLimits(authority('a', { extensions: limits }))).toEqual({
    pathLength: 2,
    names: { permitted: [], excluded: [{ kind: 'dns', text: 'a' }] },
  });
  expect(readAuthorityLimits(authority('a'))).toEqual({ pathLength: undefined, names: undefined });
  expect(readAuthorityLimits(authority('a', { version: 1 }))).toMatchObject({
    code: 'not_an_authority',
    why: expect.stringContaining('it is no authority'),
  });
});

it('the limits of an authority are read once', () => {
  const names = sequence(der(0xa1, sequence(text(0x82, 'a'))));
  const limited = authority('a', { extensions: { nameConstraints: names } });
  const limits = readAuthorityLimits(limited);
  expect(readAuthorityLimits(limited, () => false)).toBe(limits);
});

it('the limits of an authority that cost too much are not read now, and may be later', () => {
  const names = sequence(der(0xa1, sequence(der(0xa4, nameOf('CN=a')))));
  const limited = authority('a', { extensions: { nameConstraints: names } });
  const costs: number[] = [];
  const isEnough = (max: number) => (cost: number) => costs.push(cost) > 0 && cost <= max;
  expect(readAuthorityLimits(limited, isEnough(0.1))).toMatchObject({ code: 'too_much_work' });
  expect(readAuthorityLimits(limited, isEnough(0.2))).toHaveProperty('names');
  expect(costs).toEqual([0.2, 0.2]);
});

it('the policies and mappings of each certificate below the anchor are part of what a path may cost', () => {
  const policies = (count: number) =>
    sequence(...Array.from({ length: count }, (_, at) => sequence(identifier(`1.2.${at}`))));
  const mappings = (count: number) =>
    sequence(
      ...Array.from({ length: count }, (_, at) => sequence(identifier(`1.2.${at}`), identifier(`1.3.${at}`))),
    );
  const policiesOf = (count: number) => ({ extensions: { certificatePolicies: policies(count) } });
  const above = authority('a', {
    extensions: { certificatePolicies: policies(100), policyMappings: mappings(60) },
  });
  const path = [client(policiesOf(40)), above, root(policiesOf(1_000))];
  const costs: number[] = [];
  explainInvalidPath(path, NOW, undefined, (cost) => costs.push(cost) > 0);
  // 50 at the cost of one, with those of the level above: anyPolicy, then 100 policies.
  expect(costs).toEqual([161 / 50, 140 / 50]);
  const tooMany = {
    code: 'too_much_work',
    why: expect.stringContaining('too many policies and policy mappings'),
  };
  expect(explainInvalidPath(path, NOW, undefined, (cost) => cost < 3)).toMatchObject(tooMany);
  expect(explainInvalidPath(path, NOW, undefined, (cost) => cost > 3)).toMatchObject(tooMany);
});
