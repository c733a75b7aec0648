import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  attributeOid,
  decodeDistinguishedName,
  isSameName,
  parseDistinguishedName,
} from '../../../packages/core/src/certificate/distinguished-name.js';
import { runs } from '../../support/fuzzing.js';

describe('names are compared as names, not as text', () => {
  const same = (a: string, b: string): boolean | undefined => {
    const [first, second] = [parseDistinguishedName(a), parseDistinguishedName(b)];
    return first && second && isSameName(first, second);
  };

  it.each([
    ['case of types', 'CN=a,O=b', 'cn=a,o=b'],
    ['case of values', 'CN=Alice', 'CN=ALICE'],
    ['blanks around', 'CN=a, O=b', 'CN=a,O=b'],
    ['blanks around a value', 'CN= a ,O=b', 'CN=a,O=b'],
    ['blanks within', 'CN=a  b', 'CN=a b'],
    ['a type by its OID', '2.5.4.3=a', 'CN=a'],
    ['an escaped comma in hex', 'CN=a\\2cb', 'CN=a\\,b'],
    ['UTF-8 in hex', 'CN=\\C3\\A9', 'CN=é'],
    ['the order within one relative name', 'CN=a+UID=b', 'UID=b+CN=a'],
    ['RFC 4514 §4, escaped', 'CN=James \\"Jim\\" Smith\\, III', 'cn=james \\22Jim\\22 smith\\2C iii'],
  ])('%s: the same', (_title, a, b) => {
    expect(same(a, b)).toBe(true);
  });

  it.each([
    ['the order of relative names', 'CN=a,O=b', 'O=b,CN=a'],
    ['one value for two', 'CN=a,CN=b', 'CN=a+CN=b'],
    ['a value that looks like two', 'CN=a\\,O=b', 'CN=a,O=b'],
    ['another type', 'CN=a', 'OU=a'],
    ['a blank and none', 'CN=a b', 'CN=ab'],
    ['letters that are the same in upper case alone', 'CN=Straße', 'CN=STRASSE'],
    ['a prefix', 'CN=a,O=b', 'CN=a'],
  ])('%s: not the same', (_title, a, b) => {
    expect(same(a, b)).toBe(false);
  });

  it.each([
    '',
    'garbage',
    'CN',
    '=a',
    'CN=a,',
    ',CN=a',
    'CN=a,,O=b',
    'CN=a+',
    'NOSUCH=a',
    'CN=a"b',
    'CN=a\\',
    'CN=a;O=b',
    'CN=<a>',
    '1=a',
  ])('%j is no name', (text) => {
    expect(parseDistinguishedName(text)).toBeUndefined();
  });

  it('an escape has two hexadecimal digits (RFC 4514 §3)', () => {
    expect(parseDistinguishedName('CN=\\Ag')).toBeUndefined();
    expect(parseDistinguishedName('CN=\\41g')).toEqual(parseDistinguishedName('CN=Ag'));
  });

  it.each(['10.1', '2.10', '1.2.840.113549.1.9.1'])('a type may be the OID %s', (oid) => {
    const name = parseDistinguishedName(`${oid}=a`);
    expect(name && isSameName(name, decodeDistinguishedName([{ [oid]: ['a'] }]))).toBe(true);
  });

  it('reads the text form from the last attribute of the certificate to its first', () => {
    const inCertificate = [{ C: ['NO'] }, { O: ['Example'] }, { CN: ['a'], UID: ['1'] }];
    const name = parseDistinguishedName('UID=1+CN=a,O=Example,C=NO');
    expect(name && isSameName(name, decodeDistinguishedName(inCertificate))).toBe(true);
  });

  it.each<[string, string | undefined]>([
    // RFC 4514 §3, RFC 4519 §2, RFC 2985 §5.2.1, and X.520.
    ['CN', '2.5.4.3'],
    ['SN', '2.5.4.4'],
    ['serialNumber', '2.5.4.5'],
    ['C', '2.5.4.6'],
    ['L', '2.5.4.7'],
    ['ST', '2.5.4.8'],
    ['STREET', '2.5.4.9'],
    ['O', '2.5.4.10'],
    ['OU', '2.5.4.11'],
    ['T', '2.5.4.12'],
    ['businessCategory', '2.5.4.15'],
    ['postalCode', '2.5.4.17'],
    ['G', '2.5.4.42'],
    ['GN', '2.5.4.42'],
    ['I', '2.5.4.43'],
    ['organizationIdentifier', '2.5.4.97'],
    ['UID', '0.9.2342.19200300.100.1.1'],
    ['DC', '0.9.2342.19200300.100.1.25'],
    ['E', '1.2.840.113549.1.9.1'],
    ['emailAddress', '1.2.840.113549.1.9.1'],
    ['2.5.4.97', '2.5.4.97'],
    ['2.999', '2.999'],
    // Its shape alone counts.
    ['10.1', '10.1'],
    ['2', undefined],
    ['2.', undefined],
    ['.5', undefined],
    ['x2.5.4.97', undefined],
    ['2.5.4.97x', undefined],
    ['planet', undefined],
    ['constructor', undefined],
  ])('the OID of the type %s: %s', (type, oid) => {
    expect(attributeOid(type)).toBe(oid);
  });

  it('gives a name or nothing for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'CNOU=,+\\ "a2c1.') }), (text) => {
        const name = parseDistinguishedName(text);
        expect(name === undefined || name.length > 0).toBe(true);
      }),
      runs(20_000),
    );
  });
});
