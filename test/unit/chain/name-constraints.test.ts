// Names and the constraints on them, as DER: RFC 5280 §4.2.1.6 and §4.2.1.10. What can't be compared is not permitted,
// and is excluded.
import 'reflect-metadata';
import * as peculiar from '@peculiar/x509';
import { describe, expect, it } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import {
  type GeneralName,
  hostOfMail,
  hostOfUri,
  mailAddressesIn,
  readAlternativeNames,
  readDirectoryName,
} from '../../../packages/core/src/chain/general-names.js';
import {
  constraintElements,
  countComparisons,
  explainViolation,
  readNameConstraints,
} from '../../../packages/core/src/chain/name-constraints.js';
import { der, identifier, integer, sequence, text } from '../../support/written-der.js';

await library.load();

const dns = (value: string) => text(0x82, value);
const uri = (value: string) => text(0x86, value);
const mail = (value: string) => text(0x81, value);
const ip = (...bytes: number[]) => der(0x87, Buffer.from(bytes));
const nameOf = (value: string) => Buffer.from(new peculiar.Name(value).toArrayBuffer());
const manyUnits = (count: number) => Array.from({ length: count }, (_, at) => `OU=${at}`).join(', ');
const directory = (value: string) => der(0xa4, nameOf(value));
const registered = (id: string) => der(0x88, identifier(id).subarray(2));
const other = (id: string, tag = 0xa0) => der(tag, identifier(id), der(0xa0, text(0x0c, 'a')));

const read = (name: Buffer): GeneralName | undefined => readAlternativeNames(sequence(name))?.[0];
const subtrees = (tag: number, ...bases: Buffer[]) => der(tag, ...bases.map((base) => sequence(base)));
const [permitted, excluded] = [0xa0, 0xa1];

describe('alternative names', () => {
  it.each<[string, Buffer, GeneralName]>([
    ['a DNS name', dns('a.example'), { kind: 'dns', text: 'a.example' }],
    ['a mail address', mail('a@b.example'), { kind: 'email', text: 'a@b.example' }],
    ['a URI', uri('https://a.example/'), { kind: 'uri', text: 'https://a.example/' }],
    ['an address', ip(10, 0, 0, 1), { kind: 'ip', bytes: Buffer.from([10, 0, 0, 1]) }],
    ['an otherName', other('1.2.3'), { kind: 'other', tag: 0xa0 }],
    ['an x400Address', der(0xa3), { kind: 'other', tag: 0xa3 }],
    ['an ediPartyName', der(0xa5), { kind: 'other', tag: 0xa5 }],
    ['a registeredID', registered('1.2.3'), { kind: 'other', tag: 0x88 }],
    ['the first and last characters that a name may have', dns('!~'), { kind: 'dns', text: '!~' }],
  ])('are read: %s', (_, name, expected) => {
    expect(read(name)).toEqual(expected);
  });

  it('a directory name is read as the texts of its relative names, in their order', () => {
    const { relativeNames } = read(directory('O=Bank, CN=a')) as { relativeNames: readonly string[] };
    expect(relativeNames).toHaveLength(2);
    expect(relativeNames[0]).toContain('bank');
    expect(relativeNames[1]).toContain('2.5.4.3=a');
  });

  it.each<[string, Buffer]>([
    ['none', sequence()],
    ['no bytes', Buffer.alloc(0)],
    ['a set', der(0x31, dns('a'))],
    ['a DNS name with a blank', sequence(dns('a b'))],
    ['a DNS name with a NUL', sequence(dns('a.example\0.b.example'))],
    ['a mail address that is no ASCII', sequence(mail('ä@b.example'))],
    ['a URI with DEL', sequence(uri('https://a.example/\x7f'))],
    ['a directory name that is empty', sequence(der(0xa4))],
    ['a directory name that is none', sequence(der(0xa4, integer(1)))],
    ['two directory names in one', sequence(der(0xa4, nameOf('CN=a'), nameOf('CN=b')))],
    ['a directory name that costs too much to parse', sequence(directory(manyUnits(100)))],
    ['directory names that cost too much together', sequence(...Array(10).fill(directory(manyUnits(10))))],
    ['a directory name of a type that none needs', sequence(der(0xa4, sequence(der(0x31, der(0x1c)))))],
    ['a tag that no name has', sequence(der(0x8a))],
    ['a good one next to a bad one', sequence(dns('a.example'), der(0x8a))],
  ])('are refused: %s', (_, names) => {
    expect(readAlternativeNames(names)).toBeUndefined();
  });
});

describe('the host', () => {
  it.each<[string, string | undefined]>([
    ['a@Bank.Example', 'bank.example'],
    ['"a@b"@bank.example', 'bank.example'],
    ['@bank.example', undefined],
    ['a@', undefined],
    ['bank.example', undefined],
    ['', undefined],
    ['a@b', 'b'],
  ])('of the mail address %j is %j', (address, host) => {
    expect(hostOfMail(address)).toBe(host);
  });

  it.each<[string, string | undefined]>([
    ['https://Bank.Example', 'bank.example'],
    ['https://bank.example/a', 'bank.example'],
    ['https://bank.example?a', 'bank.example'],
    ['https://bank.example#a', 'bank.example'],
    ['https://bank.example:8443/', 'bank.example'],
    ['https://bank.example:', 'bank.example'],
    ['https://user:pass@bank.example/', 'bank.example'],
    ['https://@bank.example/', 'bank.example'],
    ['svn+ssh2.a-b://bank_1.example/', 'bank_1.example'],
    ['spiffe://bank.example/a@x.example', 'bank.example'],
    ['https://x.example/@bank.example', 'x.example'],
    ['https://a@x.example@bank.example/', undefined],
    ['https://bank.example:8443x/', undefined],
    ['https://bank.example\\@x.example/', undefined],
    ['https://bank.example%2f.x.example/', undefined],
    ['https://', undefined],
    ['https:///a', undefined],
    ['https:bank.example', undefined],
    ['//bank.example/', undefined],
    ['1https://bank.example/', undefined],
    [' https://bank.example/', undefined],
    ['urn:bank.example', undefined],
    ['https://10.0.0.1/', undefined],
    ['https://[::1]/', undefined],
  ])('of the URI %j is %j', (address, host) => {
    expect(hostOfUri(address)).toBe(host);
  });
});

describe('the mail addresses of a subject', () => {
  it('are all that it has, as they are written, by name or number of their type', () => {
    const name = nameOf('E=Me@Bank.Example, CN=you@bank.example, 1.2.840.113549.1.9.1=b@b.example');
    expect(mailAddressesIn(name)).toEqual([
      { kind: 'email', text: 'Me@Bank.Example' },
      { kind: 'email', text: 'b@b.example' },
    ]);
    expect(mailAddressesIn(nameOf('CN=a'))).toEqual([]);
  });

  it('are not known where it can not be read', () => {
    expect(mailAddressesIn(integer(1))).toBeUndefined();
    expect(readDirectoryName(integer(1))).toBeUndefined();
    expect(readDirectoryName(undefined)).toBeUndefined();
  });
});

describe('name constraints', () => {
  it('are permitted and excluded names', () => {
    expect(
      readNameConstraints(
        sequence(
          subtrees(permitted, dns('a.example'), mail('b.example')),
          subtrees(excluded, uri('.c.example')),
        ),
      ),
    ).toEqual({
      permitted: [
        { kind: 'dns', text: 'a.example' },
        { kind: 'email', text: 'b.example' },
      ],
      excluded: [{ kind: 'uri', text: '.c.example' }],
    });
    expect(readNameConstraints(sequence(subtrees(excluded, dns('a'))))).toEqual({
      permitted: [],
      excluded: [{ kind: 'dns', text: 'a' }],
    });
  });

  it.each<[string, Buffer]>([
    ['every DNS name', dns('')],
    ['a host of underscores and digits', dns('_a.b-1.example')],
    ['the mail addresses of a host', mail('bank.example')],
    ['the mail addresses of a domain', mail('.bank.example')],
    ['one mail address', mail('me@bank.example')],
    ['the URIs of a domain', uri('.bank.example')],
    ['an IPv4 range', ip(10, 0, 0, 0, 255, 128, 0, 0)],
    ['every IPv4 address', ip(0, 0, 0, 0, 0, 0, 0, 0)],
    ['one IPv4 address', ip(10, 0, 0, 1, 255, 255, 255, 255)],
    ['an IPv6 range', ip(...Array<number>(16).fill(0), ...Array<number>(16).fill(0xff))],
    ['a directory name', directory('O=Bank')],
    ['an otherName', other('1.2.3')],
  ])('may name %s', (_, base) => {
    expect(readNameConstraints(sequence(subtrees(permitted, base)))?.permitted).toHaveLength(1);
  });

  it.each<[string, Buffer]>([
    ['nothing', sequence()],
    ['no bytes', Buffer.alloc(0)],
    ['a set', der(0x31, subtrees(permitted, dns('a')))],
    ['an empty list', sequence(subtrees(permitted))],
    ['an empty list next to a good one', sequence(subtrees(permitted, dns('a')), subtrees(excluded))],
    ['a good list next to an empty one', sequence(subtrees(permitted), subtrees(excluded, dns('a')))],
    ['a list twice', sequence(subtrees(permitted, dns('a')), subtrees(permitted, dns('b')))],
    ['an unknown list', sequence(subtrees(permitted, dns('a')), subtrees(0xa2, dns('b')))],
    ['an unknown list alone', sequence(subtrees(0xa2, dns('b')))],
    ['a bad name next to a good one', sequence(subtrees(permitted, dns('a'), dns('.b')))],
    ['a minimum', sequence(der(permitted, sequence(dns('a'), der(0x80, Buffer.from([0])))))],
    ['an empty subtree', sequence(der(permitted, sequence()))],
    ['a name that is no subtree', sequence(der(permitted, dns('a')))],
    ['bytes behind the lists', sequence(der(permitted, sequence(dns('a')), Buffer.from([0x30])))],
    ...[
      ['a DNS name with an empty label', dns('a..b')],
      ['a DNS name that ends in a dot', dns('a.')],
      ['a wildcard', dns('*.bank.example')],
      ['a mail address without host', mail('me@')],
      ['a mail address without local part', mail('@bank.example')],
      ['a mail address whose host is none', mail('me@-.!')],
      ['an empty mail address', mail('')],
      ['a dot alone', uri('.')],
      ['a whole URI', uri('https://bank.example/')],
      ['an empty URI', uri('')],
      ['an IPv4 mask with a hole', ip(10, 0, 0, 0, 255, 0, 255, 0)],
      ['an IPv4 mask that begins with zeros', ip(10, 0, 0, 0, 0, 255, 255, 255)],
      ['an IPv4 address without mask', ip(10, 0, 0, 0)],
      ['an address of 16 bytes without mask', ip(...Array<number>(16).fill(0))],
      ['no address', ip()],
    ].map(([title, base]): [string, Buffer] => [
      title as string,
      sequence(subtrees(permitted, base as Buffer)),
    ]),
  ])('are refused with %s', (_, value) => {
    expect(readNameConstraints(value)).toBeUndefined();
  });
});

/** Whether a name passes constraints of one base. */
function passes(kind: 'permitted' | 'excluded', base: Buffer, ...names: Buffer[]): boolean {
  const constraints = readNameConstraints(
    sequence(subtrees(kind === 'permitted' ? permitted : excluded, base)),
  );
  const read = readAlternativeNames(sequence(...names));
  if (constraints === undefined || read === undefined) {
    throw new Error('malformed');
  }
  return explainViolation(read, [constraints]) === undefined;
}

describe('a name in the subtree of a base, and in no other, is permitted alone, or excluded', () => {
  const range = ip(10, 0, 16, 0, 255, 255, 240, 0);
  const six = (last: number, mask: number) =>
    ip(0x20, 1, ...Array<number>(13).fill(0), last, ...Array<number>(15).fill(0xff), mask);
  const address = (last: number) => ip(0x20, 1, ...Array<number>(13).fill(0), last);
  it.each<[string, Buffer, Buffer, boolean]>([
    ['every DNS name', dns(''), dns('a.example'), true],
    ['the DNS name itself', dns('Bank.example'), dns('bAnk.example'), true],
    ['a DNS name below', dns('bank.example'), dns('a.b.bank.example'), true],
    ['a DNS name that ends alike', dns('bank.example'), dns('ebank.example'), false],
    ['a DNS name above', dns('a.bank.example'), dns('bank.example'), false],
    ['a wildcard below', dns('bank.example'), dns('*.bank.example'), true],
    ['a wildcard elsewhere', dns('a.bank.example'), dns('*.other.example'), false],
    ['a URI of the host', uri('bank.example'), uri('https://bank.example/a'), true],
    ['a URI of a host below', uri('bank.example'), uri('https://a.bank.example/a'), false],
    ['a URI of the domain', uri('.bank.example'), uri('https://a.bank.example/a'), true],
    ['a URI of the domain itself', uri('.bank.example'), uri('https://bank.example/'), false],
    ['a base of a URI in capitals', uri('BANK.example'), uri('https://bank.example/'), true],
    ['a mail address of the host', mail('Bank.example'), mail('a@bank.example'), true],
    ['a mail address of a host below', mail('bank.example'), mail('a@b.bank.example'), false],
    ['a mail address of the domain', mail('.bank.example'), mail('a@b.bank.example'), true],
    ['the mail address', mail('me@bank.example'), mail('me@BANK.example'), true],
    ['a mail address whose local part has an @', mail('b@bank.example'), mail('"a@b"@bank.example'), false],
    ['a mail address of another host', mail('me@bank.example'), mail('me@other.example'), false],
    ['the first address', range, ip(10, 0, 16, 0), true],
    ['the last address', range, ip(10, 0, 31, 255), true],
    ['the address before', range, ip(10, 0, 15, 255), false],
    ['the address behind', range, ip(10, 0, 32, 0), false],
    ['an address of IPv6 in a range of IPv4', ip(0, 0, 0, 0, 0, 0, 0, 0), address(0), false],
    ['an address of IPv4 in a range of IPv6', six(0, 0), ip(0x20, 1, 0, 0), false],
    ['an address of IPv6', six(0x80, 0x80), address(0xff), true],
    ['another address of IPv6', six(0x80, 0x80), address(0x7f), false],
    ['a directory name below', directory('O=Bank'), directory('O=Bank, CN=a'), true],
    ['a directory name above', directory('O=Bank, CN=a'), directory('O=Bank'), false],
    ['another directory name', directory('O=Bank'), directory('O=Other, CN=a'), false],
  ])('%s', (_, base, name, isWithin) => {
    expect(passes('permitted', base, name)).toBe(isWithin);
    expect(passes('excluded', base, name)).toBe(!isWithin);
  });

  it.each<[string, Buffer, Buffer]>([
    ['a wildcard above a base', dns('a.bank.example'), dns('*.bank.example')],
    ['a URI without host', uri('bank.example'), uri('urn:a')],
    ['a URI with an address', uri('bank.example'), uri('https://10.0.0.1/')],
    ['a mail address without host', mail('bank.example'), mail('me')],
    ['an address of five bytes', ip(0, 0, 0, 0, 0, 0, 0, 0), ip(1, 2, 3, 4, 5)],
    ['an otherName', other('1.2.3'), other('1.2.3')],
    ['a registeredID', registered('1.2.3'), registered('1.2.4')],
  ])('but neither passes that can not be compared: %s', (_, base, name) => {
    expect(passes('permitted', base, name)).toBe(false);
    expect(passes('excluded', base, name)).toBe(false);
  });

  it.each<[string, Buffer, Buffer]>([
    ['a mail address', dns('bank.example'), mail('a@bank.example')],
    ['a URI', dns('bank.example'), uri('https://other.example/')],
    ['an address', dns('bank.example'), ip(10, 0, 0, 1)],
    ['an otherName', registered('1.2.3'), other('1.2.3')],
    ['a DNS name', other('1.2.3'), dns('bank.example')],
  ])('and bases of another form say nothing about %s', (_, base, name) => {
    expect(passes('permitted', base, name)).toBe(true);
    expect(passes('excluded', base, name)).toBe(true);
  });

  it('capitals escape no exclusion of a mail address, and win no permission', () => {
    expect(passes('excluded', mail('Me@bank.example'), mail('mE@bank.example'))).toBe(false);
    expect(passes('permitted', mail('Me@bank.example'), mail('mE@bank.example'))).toBe(false);
  });

  it('each name must pass, and one base of a list is enough', () => {
    expect(passes('permitted', dns('a.example'), dns('a.example'), dns('b.example'))).toBe(false);
    expect(passes('excluded', dns('a.example'), dns('b.example'), dns('a.example'))).toBe(false);
    const two = readNameConstraints(sequence(subtrees(permitted, dns('a.example'), dns('b.example'))));
    const name = readAlternativeNames(sequence(dns('b.example')));
    expect(explainViolation(name ?? [], [two as never])).toBeUndefined();
  });
});

it.each<[string, Buffer, Buffer, string]>([
  ['mail', mail('a.example'), mail('a@b.example'), 'its mail address violates a name constraint'],
  ['dns', dns('a.example'), dns('b.example'), 'its DNS name violates a name constraint'],
  ['uri', uri('a.example'), uri('https://b.example'), 'its URI violates a name constraint'],
  ['ip', ip(10, 0, 0, 0, 255, 0, 0, 0), ip(11, 0, 0, 0), 'its IP address violates a name constraint'],
  ['directory', directory('O=a'), directory('O=b'), 'its subject violates a name constraint'],
  ['other', registered('1.2.3'), registered('1.2.3'), 'its name violates a name constraint'],
])('the reason names the form of the name: %s', (_, base, name, why) => {
  const constraints = readNameConstraints(sequence(subtrees(permitted, base)));
  expect(explainViolation(readAlternativeNames(sequence(name)) ?? [], [constraints as never])).toBe(why);
});

it('the constraints of each authority hold', () => {
  const [wide, narrow] = ['bank.example', 'a.bank.example'].map((base) =>
    readNameConstraints(sequence(subtrees(permitted, dns(base)))),
  ) as [never, never];
  const explain = (value: string) =>
    explainViolation(readAlternativeNames(sequence(dns(value))) ?? [], [wide, narrow]);
  expect(explain('a.bank.example')).toBeUndefined();
  expect(explain('b.bank.example')).toContain('violates');
  expect(explain('a.example')).toContain('violates');
});

it('the comparisons that names and constraints take are counted, and a long text as several', () => {
  const names = (count: number, value = 'a'): GeneralName[] =>
    Array.from({ length: count }, () => ({ kind: 'dns', text: value }));
  const [few, long] = [names(10, ''), names(10, 'a'.repeat(640))];
  const address: GeneralName = { kind: 'ip', bytes: Buffer.alloc(8) };
  expect(countComparisons([...few, address], [{ permitted: few, excluded: [] }])).toBe(110);
  expect(countComparisons(few, [{ permitted: few, excluded: [...few, address] }])).toBe(210);
  expect(
    countComparisons(few, [
      { permitted: few, excluded: [] },
      { permitted: [], excluded: few },
    ]),
  ).toBe(200);
  expect(countComparisons(long, [{ permitted: few, excluded: [] }])).toBe(1_100);
  expect(countComparisons(few, [{ permitted: long, excluded: [] }])).toBe(1_100);
});

it.each<[string, Buffer, number]>([
  ['a directory name', sequence(subtrees(permitted, directory('CN=a'))), 5],
  ['some', sequence(subtrees(permitted, directory('CN=a')), subtrees(excluded, directory('CN=a, O=b'))), 14],
  ['names of other forms', sequence(subtrees(permitted, dns('a'), mail('a'))), 0],
  ['what is no DER', Buffer.from([0x30, 5]), 0],
])('the elements of directory names in constraints are counted: %s', (_, value, count) => {
  expect(constraintElements(value)).toBe(count);
});
