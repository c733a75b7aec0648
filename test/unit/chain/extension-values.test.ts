// The extensions that decide about a path are read strictly: what is not the DER of RFC 5280 refuses the path.
import { describe, expect, it } from 'vitest';
import {
  extensionOf,
  readBasicConstraints,
  readCertificatePolicies,
  readExtendedKeyUsage,
  readInhibitAnyPolicy,
  readKeyUsage,
  readPolicyConstraints,
  readPolicyMappings,
} from '../../../packages/core/src/chain/extension-values.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { bits, boolean, der, identifier, integer, octets, sequence } from '../../support/written-der.js';

const nothing = Buffer.alloc(0);

describe('basic constraints', () => {
  it.each<[string, Buffer, object | undefined]>([
    ['nothing in it: no authority', sequence(), { isAuthority: false, pathLength: undefined }],
    ['an authority', sequence(boolean(true)), { isAuthority: true, pathLength: undefined }],
    ['no authority, as written', sequence(boolean(false)), { isAuthority: false, pathLength: undefined }],
    ['a path length', sequence(boolean(true), integer(3)), { isAuthority: true, pathLength: 3 }],
    ['a path length of 0', sequence(boolean(true), integer(0)), { isAuthority: true, pathLength: 0 }],
    [
      'a path length of two bytes',
      sequence(boolean(true), integer(1, 2)),
      { isAuthority: true, pathLength: 258 },
    ],
    [
      'a path length of five bytes: as long as any',
      sequence(boolean(true), integer(1, 0, 0, 0, 0)),
      { isAuthority: true, pathLength: 0x7fff_ffff },
    ],
    [
      'a path length of four bytes',
      sequence(boolean(true), integer(1, 0, 0, 2)),
      { isAuthority: true, pathLength: 0x0100_0002 },
    ],
    [
      'a path length without the flag means nothing',
      sequence(integer(3)),
      { isAuthority: false, pathLength: undefined },
    ],
    [
      'a path length of no authority means nothing',
      sequence(boolean(false), integer(3)),
      { isAuthority: false, pathLength: undefined },
    ],
    ['no bytes', nothing, undefined],
    ['no sequence', boolean(true), undefined],
    ['bytes behind it', Buffer.concat([sequence(boolean(true)), integer(1)]), undefined],
    ['three members', sequence(boolean(true), integer(1), integer(1)), undefined],
    ['the members in the other order', sequence(integer(1), boolean(true)), undefined],
    ['the flag twice', sequence(boolean(true), boolean(true)), undefined],
    ['two lengths', sequence(integer(1), integer(1)), undefined],
    ['an empty flag', sequence(der(0x01)), undefined],
    ['a flag of two bytes', sequence(der(0x01, Buffer.from([0xff, 0xff]))), undefined],
    ['a negative path length', sequence(boolean(true), integer(0xff)), undefined],
    ['an empty path length', sequence(boolean(true), integer()), undefined],
    ['a path length of another type', sequence(boolean(true), octets(Buffer.from([1]))), undefined],
  ])('%s', (_, value, expected) => {
    expect(readBasicConstraints(value)).toEqual(expected);
  });
});

describe('key usage', () => {
  const none = { digitalSignature: false, keyAgreement: false, keyCertSign: false, cRLSign: false };
  it.each<[string, Buffer, object | undefined]>([
    ['digitalSignature', bits(Buffer.from([0x80]), 7), { ...none, digitalSignature: true }],
    ['keyAgreement', bits(Buffer.from([0x08]), 3), { ...none, keyAgreement: true }],
    ['keyCertSign', bits(Buffer.from([0x04]), 2), { ...none, keyCertSign: true }],
    ['cRLSign', bits(Buffer.from([0x02]), 1), { ...none, cRLSign: true }],
    ['others alone', bits(Buffer.from([0x71, 0x80]), 7), none],
    ['none', bits(nothing), none],
    ['no bytes', nothing, undefined],
    ['an empty bit string', der(0x03), undefined],
    ['eight unused bits', bits(Buffer.from([0x80]), 8), undefined],
    ['more bits than there are usages', bits(Buffer.from([0x80, 0, 0]), 7), undefined],
    ['another type', octets(Buffer.from([7, 0x80])), undefined],
    ['two of them', Buffer.concat([bits(Buffer.from([0x80]), 7), bits(Buffer.from([4]), 2)]), undefined],
  ])('%s', (_, value, expected) => {
    expect(readKeyUsage(value)).toEqual(expected);
  });
});

describe('extended key usage', () => {
  it.each<[string, Buffer, readonly string[] | undefined]>([
    ['one', sequence(identifier('2.5.29.37.0')), ['551d2500']],
    ['two', sequence(identifier('1.2.3'), identifier('1.2.4')), ['2a03', '2a04']],
    ['none', sequence(), undefined],
    ['no bytes', nothing, undefined],
    ['another type among them', sequence(identifier('1.2.3'), integer(1)), undefined],
    ['an empty identifier', sequence(der(0x06)), undefined],
    ['a set', der(0x31, identifier('1.2.3')), undefined],
  ])('%s', (_, value, expected) => {
    expect(readExtendedKeyUsage(value)).toEqual(expected && new Set(expected));
  });
});

describe('policies', () => {
  const policy = (id: string, ...more: Buffer[]) => sequence(identifier(id), ...more);
  it.each<[string, Buffer, readonly string[] | undefined]>([
    ['two', sequence(policy('1.2.3'), policy('1.2.4')), ['2a03', '2a04']],
    ['with qualifiers', sequence(policy('1.2.3', sequence())), ['2a03']],
    ['the same twice', sequence(policy('1.2.3'), policy('1.2.3')), undefined],
    ['none', sequence(), undefined],
    ['no bytes', nothing, undefined],
    ['an identifier alone', sequence(identifier('1.2.3')), undefined],
    ['an empty one', sequence(policy('1.2.3'), sequence()), undefined],
  ])('%s', (_, value, expected) => {
    expect(readCertificatePolicies(value)).toEqual(expected && new Set(expected));
  });
});

describe('policy mappings', () => {
  const [one, two] = [identifier('1.2.3'), identifier('1.2.4')];
  it.each<[string, Buffer, unknown]>([
    ['one', sequence(sequence(one, two)), [['2a03', '2a04']]],
    [
      'two',
      sequence(sequence(one, two), sequence(two, one)),
      [
        ['2a03', '2a04'],
        ['2a04', '2a03'],
      ],
    ],
    ['none', sequence(), undefined],
    ['no bytes', nothing, undefined],
    ['half of one', sequence(sequence(one)), undefined],
    ['a half behind a whole one', sequence(sequence(one, two), sequence(one)), undefined],
    ['three policies', sequence(sequence(one, two, one)), undefined],
    ['another type first', sequence(sequence(integer(1), two)), undefined],
    ['another type last', sequence(sequence(one, integer(1))), undefined],
    ['a set', sequence(der(0x31, one, two)), undefined],
  ])('%s', (_, value, expected) => {
    expect(readPolicyMappings(value)).toEqual(expected);
  });
});

describe('policy constraints', () => {
  const [explicit, inhibit] = [der(0x80, Buffer.from([0])), der(0x81, Buffer.from([2]))];
  it.each<[string, Buffer, unknown]>([
    ['both', sequence(explicit, inhibit), { requireExplicitPolicy: 0, inhibitPolicyMapping: 2 }],
    [
      'a policy is required',
      sequence(explicit),
      { requireExplicitPolicy: 0, inhibitPolicyMapping: undefined },
    ],
    ['mapping ends', sequence(inhibit), { requireExplicitPolicy: undefined, inhibitPolicyMapping: 2 }],
    ['nothing', sequence(), undefined],
    ['no bytes', nothing, undefined],
    ['an unknown member', sequence(explicit, der(0x82, Buffer.from([0]))), undefined],
    ['an unknown member alone', sequence(der(0x82, Buffer.from([0]))), undefined],
    ['one twice', sequence(explicit, explicit), undefined],
    ['a negative number', sequence(der(0x80, Buffer.from([0x80]))), undefined],
    ['no number in the second', sequence(explicit, der(0x81)), undefined],
  ])('%s', (_, value, expected) => {
    expect(readPolicyConstraints(value)).toEqual(expected);
  });
});

describe('inhibitAnyPolicy', () => {
  it.each<[string, Buffer, number | undefined]>([
    ['at once', integer(0), 0],
    ['after some certificates', integer(0x7f), 127],
    ['a negative number', integer(0x80), undefined],
    ['another type', octets(Buffer.from([0])), undefined],
    ['no bytes', nothing, undefined],
    ['two numbers', Buffer.concat([integer(0), integer(0)]), undefined],
  ])('%s', (_, value, expected) => {
    expect(readInhibitAnyPolicy(value)).toBe(expected);
  });
});

it('an extension is missing, malformed, or what its reader makes of it', () => {
  const certificate = {
    extensions: new Map([['00', { isCritical: false, value: Buffer.from([7]) }]]),
  } as unknown as PathCertificate;
  expect(extensionOf(certificate, '00', ([first]) => first)).toBe(7);
  expect(extensionOf(certificate, '00', () => undefined)).toBe('malformed');
  expect(extensionOf(certificate, '01', () => 1)).toBe('missing');
});
