// The parts of lists, answers and certificates that say where the status of a certificate is, and what it is about.
// Each reader is total: what is not the DER of RFC 5280 or RFC 6960 is no status.
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type CrlScope,
  coveredReasons,
  readScope,
  unlimitedScope,
} from '../../../packages/core/src/certificate-status/crl-scope.js';
import { DerCursor } from '../../../packages/core/src/certificate-status/der-cursor.js';
import {
  isWebUri,
  readDistributionPoints,
} from '../../../packages/core/src/certificate-status/distribution-points.js';
import {
  keyOfDirectoryName,
  PointNameReader,
  readResponders,
} from '../../../packages/core/src/certificate-status/point-names.js';
import { skipRepeatedReports } from '../../../packages/core/src/certificate-status/repeated-reports.js';
import {
  ALL_REASONS,
  readReasons,
  reasonName,
} from '../../../packages/core/src/certificate-status/revocation-reasons.js';
import { splitSigned } from '../../../packages/core/src/certificate-status/signed-structure.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import {
  bits,
  commonName,
  der,
  identifier,
  integer,
  octets,
  sequence,
  text,
} from '../../support/written-der.js';

const issuer = commonName('Issuer');
const uri = (value: string) => text(0x86, value);
const fullName = (...names: Buffer[]) => der(0xa0, ...names);
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
/** The key of a name that is no directory name. */
const keyOf = (name: Uint8Array) => createHash('sha256').update(name).digest('base64url');
const readPointNames = (name: Uint8Array, by: Uint8Array) => new PointNameReader(by).read(name);
/** The content of a ReasonFlags. */
const flags = (unused: number, ...bytes: number[]) => Buffer.from([unused, ...bytes]);

describe('the reasons of a revocation', () => {
  it.each<[number, string]>([
    [0, 'unspecified'],
    [1, 'keyCompromise'],
    [2, 'cACompromise'],
    [3, 'affiliationChanged'],
    [4, 'superseded'],
    [5, 'cessationOfOperation'],
    [6, 'certificateHold'],
    [7, 'unspecified'],
    [8, 'removeFromCRL'],
    [9, 'privilegeWithdrawn'],
    [10, 'aACompromise'],
    [11, 'unspecified'],
  ])('%i is %s', (code, name) => {
    expect(reasonName(code)).toBe(name);
  });

  it.each<[string, Buffer, number | undefined]>([
    ['the first', flags(6, 0b0100_0000), 0b10],
    ['the last of the first byte', flags(0, 0b0000_0001), 0b1000_0000],
    ['the one of the second byte', flags(7, 0, 0b1000_0000), 0b1_0000_0000],
    ['all', flags(7, 0xff, 0x80), ALL_REASONS],
    ['the unused bit 0 alone: none', flags(7, 0b1000_0000), 0],
    ['bits that are said to be unused', flags(6, 0xff), 0b10],
    ['more bits than there are reasons', flags(0, 0, 0xff), 0b1_0000_0000],
    ['no bytes', Buffer.alloc(0), undefined],
    ['no bits', flags(0), undefined],
    ['eight unused bits', flags(8, 0xff), undefined],
  ])('as flags: %s', (_, content, reasons) => {
    expect(readReasons(content)).toBe(reasons);
  });
});

describe('the names of a distribution point', () => {
  it('are compared as they are written, a directory name by its content', () => {
    expect(readPointNames(fullName(uri('http://a.example/'), der(0xa4, issuer)), issuer)).toEqual({
      keys: [keyOf(uri('http://a.example/')), keyOfDirectoryName(issuer)],
      uris: ['http://a.example/'],
    });
  });

  it('a relative name is the name of the issuer and one part more', () => {
    const part = sequence(identifier('2.5.4.11'), text(0x0c, 'Lists'));
    const whole = sequence(issuer.subarray(2), der(0x31, part));
    expect(readPointNames(der(0xa1, part), issuer)).toEqual({
      keys: [keyOfDirectoryName(whole)],
      uris: [],
    });
    expect(readPointNames(der(0xa1, part), Buffer.alloc(0))).toBeUndefined();
  });

  it('several relative names continue the name of one issuer', () => {
    const reader = new PointNameReader(issuer);
    const parts = ['a', 'b'].map((value) => sequence(identifier('2.5.4.11'), text(0x0c, value)));
    expect(parts.map((part) => reader.read(der(0xa1, part))?.keys)).toEqual(
      parts.map((part) => [keyOfDirectoryName(sequence(issuer.subarray(2), der(0x31, part)))]),
    );
  });

  it('have no key of another kind of name with these bytes', () => {
    const content = sequence(issuer.subarray(2)).subarray(2);
    expect(keyOfDirectoryName(issuer)).not.toBe(keyOf(der(0xa4, content)));
    expect(keyOfDirectoryName(issuer)).not.toBe(keyOf(issuer));
  });

  it('are 32 at most of all points', () => {
    const reader = new PointNameReader(issuer);
    const names = (count: number) => fullName(...Array.from({ length: count }, (_, at) => uri(`${at}`)));
    const part = der(0xa1, sequence(identifier('2.5.4.11'), text(0x0c, 'Lists')));
    expect([reader.read(names(30))?.keys, reader.hasTooManyNames]).toEqual([
      expect.objectContaining({ length: 30 }),
      false,
    ]);
    expect([reader.read(part)?.keys.length, reader.hasTooManyNames]).toEqual([1, false]);
    expect([reader.read(names(1))?.uris.length, reader.hasTooManyNames]).toEqual([1, false]);
    expect([reader.read(names(1)), reader.hasTooManyNames]).toEqual([{ keys: [], uris: [] }, true]);
    expect([reader.read(part), reader.hasTooManyNames]).toEqual([{ keys: [], uris: [] }, true]);
    const other = new PointNameReader(issuer);
    expect([other.read(names(40))?.uris, other.hasTooManyNames]).toEqual([
      expect.objectContaining({ length: 32 }),
      true,
    ]);
  });

  it.each<[string, Buffer]>([
    ['no bytes', Buffer.alloc(0)],
    ['no names', fullName()],
    ['an unknown choice', der(0xa2, uri('http://a.example/'))],
    ['what is no DER', der(0xa0, Buffer.from([0x86]))],
    ['two choices', Buffer.concat([fullName(uri('a')), fullName(uri('b'))])],
  ])('are none for %s', (_, name) => {
    expect(readPointNames(name, issuer)).toBeUndefined();
  });

  it('a directory name that is none is left out', () => {
    expect(readPointNames(fullName(der(0xa4), uri('a')), issuer)).toEqual({
      keys: [keyOf(uri('a'))],
      uris: ['a'],
    });
    expect(keyOfDirectoryName(der(0x31))).toBeUndefined();
  });
});

describe('the responders of a certificate', () => {
  const access = (method: string, location: Buffer) => sequence(identifier(method), location);
  const ocsp = '1.3.6.1.5.5.7.48.1';
  it.each<[string, Buffer, readonly string[]]>([
    ['two', sequence(access(ocsp, uri('http://a')), access(ocsp, uri('http://b'))), ['http://a', 'http://b']],
    ['another method', sequence(access('1.3.6.1.5.5.7.48.2', uri('http://a'))), []],
    ['another kind of name', sequence(access(ocsp, text(0x82, 'a.example'))), []],
    ['no location', sequence(sequence(identifier(ocsp))), []],
    [
      'a method of another type',
      sequence(sequence(der(0x04, identifier(ocsp).subarray(2)), uri('http://a'))),
      [],
    ],
    ['no sequence in it', sequence(identifier(ocsp)), []],
    ['no bytes', Buffer.alloc(0), []],
  ])('%s', (_, value, uris) => {
    expect(readResponders(value)).toEqual(uris);
  });
});

describe('the scope of a list', () => {
  const flag = (tag: number, value = 0xff) => der(tag, Buffer.from([value]));
  const names = der(0xa0, fullName(uri('http://a')));
  const namesOf = (count: number) =>
    der(0xa0, fullName(...Array.from({ length: count }, (_, at) => uri(`http://${at}`))));
  const notSupported = (why: string) => ({ code: 'form_not_supported', why });
  const unreadable = (why: string) => ({ code: 'unreadable', why });
  it.each<[string, Buffer, object]>([
    ['nothing in it', sequence(), unlimitedScope],
    ['users', sequence(flag(0x81)), { ...unlimitedScope, certificates: 'users' }],
    ['authorities', sequence(flag(0x82)), { ...unlimitedScope, certificates: 'authorities' }],
    ['users, as not written', sequence(flag(0x81, 0)), unlimitedScope],
    ['some reasons', sequence(der(0x83, flags(6, 0x40))), { ...unlimitedScope, reasons: 2 }],
    ['a point', sequence(names), { ...unlimitedScope, names: new Set([keyOf(uri('http://a'))]) }],
    [
      'a point with 32 names',
      sequence(namesOf(32)),
      { ...unlimitedScope, names: expect.objectContaining({ size: 32 }) },
    ],
    [
      'a point with 33 names',
      sequence(namesOf(33)),
      { code: 'too_large', why: 'its IssuingDistributionPoint has more than 32 names' },
    ],
    ['no indirect list, as written', sequence(flag(0x84, 0)), unlimitedScope],
    [
      'an indirect list',
      sequence(flag(0x84)),
      notSupported('it is an indirect list, which is not supported'),
    ],
    [
      'attribute certificates',
      sequence(flag(0x85)),
      notSupported('it is about attribute certificates alone'),
    ],
    [
      'users alone and authorities alone',
      sequence(flag(0x81), flag(0x82)),
      unreadable('its IssuingDistributionPoint contradicts itself'),
    ],
    ...[
      ['no bytes', Buffer.alloc(0)],
      ['a set', der(0x31)],
      ['an unknown member', sequence(flag(0x86))],
      ['a member twice', sequence(flag(0x81), flag(0x81))],
      ['a point that is none', sequence(der(0xa0))],
      ['reasons that are none', sequence(der(0x83))],
    ].map(([title, value]): [string, Buffer, object] => [
      title as string,
      value as Buffer,
      unreadable('its IssuingDistributionPoint can not be read'),
    ]),
  ])('%s', (_, value, scope) => {
    expect(readScope(value, issuer)).toEqual(scope);
  });

  const named = (...names: string[]) => ({ names: new Set(names) });
  it.each<[string, Partial<CrlScope>, [name: string, reasons: number][], boolean, number]>([
    ['everything: an authority', {}, [], true, ALL_REASONS],
    ['everything: a user', {}, [], false, ALL_REASONS],
    ['users: a user', { certificates: 'users' }, [], false, ALL_REASONS],
    ['users: an authority', { certificates: 'users' }, [], true, 0],
    ['authorities: a user', { certificates: 'authorities' }, [], false, 0],
    ['authorities: an authority', { certificates: 'authorities' }, [], true, ALL_REASONS],
    ['some reasons', { reasons: 6 }, [], false, 6],
    ['no point that is named', named('a'), [['b', ALL_REASONS]], false, 0],
    [
      'a point that is named',
      named('a', 'b'),
      [
        ['b', ALL_REASONS],
        ['c', 2],
      ],
      false,
      ALL_REASONS,
    ],
    ['the reasons of list and point', { ...named('a'), reasons: 6 }, [['a', 12]], false, 4],
    [
      'the reasons of two points',
      named('a', 'c'),
      [
        ['a', 2],
        ['c', 4],
        ['b', 8],
      ],
      false,
      6,
    ],
  ])('covers %s', (_, scope, points, isAuthority, reasons) => {
    expect(coveredReasons({ ...unlimitedScope, ...scope }, new Map(points), isAuthority)).toBe(reasons);
  });
});

describe('the distribution points of a certificate', () => {
  const pointsOf = (value?: Buffer, by: Buffer = issuer) =>
    readDistributionPoints({
      extensions: new Map(value && [['551d1f', { isCritical: false, value }]]),
      issuer: by,
    } as never as PathCertificate);
  const all = (...names: Buffer[]) => names.map((name): [string, number] => [keyOf(name), ALL_REASONS]);
  const assumed: [string, number] = [keyOfDirectoryName(issuer) ?? '', ALL_REASONS];
  const [http, other, ldap] = ['http://a.example/', 'http://b.example/', 'ldap://a.example/'].map(uri) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  const names = der(0xa0, fullName(http));
  const uris = [['http://a.example/']];
  const some = (...bits: number[]) => der(0x81, flags(5, ...bits));

  it.each<[string, Buffer | undefined, [string, number][], string[][]]>([
    ['no extension', undefined, [], []],
    ['a name', sequence(sequence(names)), all(http), uris],
    ['some reasons', sequence(sequence(names, some(0x40))), [[keyOf(http), 2]], uris],
    [
      'the reasons of a name that two points have',
      sequence(sequence(names, some(0x40)), sequence(names, some(0x20))),
      [[keyOf(http), 6]],
      [...uris, ...uris],
    ],
    [
      'two points',
      sequence(sequence(names), sequence(der(0xa0, fullName(other)))),
      all(http, other),
      [['http://a.example/'], ['http://b.example/']],
    ],
    ['an indirect list', sequence(sequence(names, der(0xa2, der(0xa4, issuer)))), [], []],
    ['reasons alone', sequence(sequence(some(0x40))), [], []],
    ['reasons that are none', sequence(sequence(names, der(0x81))), [], []],
    ['no sequence', sequence(names), [], []],
    ['no DER', Buffer.from([0x30]), [], []],
    ['a URI of another scheme', sequence(sequence(der(0xa0, fullName(ldap)))), all(ldap), []],
  ])('%s: and always the name of its issuer', (_, value, named, addresses) => {
    expect(pointsOf(value)).toEqual({
      reasons: new Map([...named, assumed]),
      uris: addresses,
      hasTooManyNames: false,
    });
  });

  it('32 names of them are read: it is known that there are more', () => {
    const one = (at: number) => sequence(der(0xa0, fullName(uri(`http://a.example/${at}`))));
    const points = (count: number) =>
      pointsOf(sequence(...Array.from({ length: count }, (_, at) => one(at))));
    expect(points(32)).toMatchObject({ reasons: { size: 33 }, uris: { length: 8 }, hasTooManyNames: false });
    expect(points(500)).toMatchObject({ reasons: { size: 33 }, uris: { length: 8 }, hasTooManyNames: true });
  });

  it('a name that many points have is kept once', () => {
    const empty = sequence(der(0xa0, der(0xa1, sequence(identifier('2.5.4.3'), text(0x0c, '')))));
    expect(pointsOf(sequence(...Array.from({ length: 500 }, () => empty))).reasons.size).toBe(2);
  });

  it('an issuer without a name that can be read has no point of that name', () => {
    expect(pointsOf(undefined, Buffer.alloc(0)).reasons.size).toBe(0);
  });

  it.each<[string, boolean]>([
    ['http://a.example/', true],
    ['HTTPS://a.example:8443/a?b', true],
    [`http://a.example/${'a'.repeat(2_048 - 17)}`, true],
    [`http://a.example/${'a'.repeat(2_049 - 17)}`, false],
    ['ldap://a.example/', false],
    ['http://', false],
    ['http://a b/', false],
    [' http://a.example/', false],
    ['http://a.example/\n', false],
    ['http://a.example:99999/', false],
  ])('%j is fetched: %j', (address, isFetched) => {
    expect(isWebUri(address)).toBe(isFetched);
  });
});

describe('a signed structure', () => {
  const [signed, algorithm] = [sequence(integer(1)), sequence(identifier('1.3.101.112'))];
  const signature = bits(Buffer.from([7, 8]));

  it('is what is signed, the algorithm, the signature and what stands behind it', () => {
    expect(splitSigned(sequence(signed, algorithm, signature, octets(Buffer.from([9]))))).toEqual({
      signed,
      content: integer(1),
      algorithm,
      signature: Buffer.from([7, 8]),
      rest: octets(Buffer.from([9])),
    });
    expect(splitSigned(sequence(signed, algorithm, signature))?.rest).toHaveLength(0);
  });

  it.each<[string, Buffer]>([
    ['no bytes', Buffer.alloc(0)],
    ['a set', der(0x31, signed, algorithm, signature)],
    ['bytes behind it', Buffer.concat([sequence(signed, algorithm, signature), Buffer.from([0])])],
    ['nothing signed', sequence()],
    ['a set that is signed', sequence(der(0x31), algorithm, signature)],
    ['no algorithm', sequence(signed, signature)],
    ['an identifier as algorithm', sequence(signed, identifier('1.3.101.112'), signature)],
    ['no signature', sequence(signed, algorithm)],
    ['an octet string as signature', sequence(signed, algorithm, octets(Buffer.from([0, 7])))],
    ['unused bits', sequence(signed, algorithm, bits(Buffer.from([7]), 1))],
    ['an empty bit string', sequence(signed, algorithm, der(0x03))],
    ['an empty bit string before a zero', sequence(signed, algorithm, der(0x03), der(0x00))],
  ])('is none: %s', (_, structure) => {
    expect(splitSigned(structure)).toBeUndefined();
  });
});

describe('a cursor over DER', () => {
  const found = (bytes: Uint8Array, from?: number, limit?: number) => {
    const cursor = new DerCursor(bytes, from, limit);
    const elements: string[] = [];
    while (cursor.next()) {
      elements.push(`${cursor.tag} ${hexOf(cursor.content())} ${hexOf(cursor.whole())}`);
    }
    return [...elements, cursor.isAtEnd ? 'end' : 'no DER'];
  };

  it.each<[string, Uint8Array, string[]]>([
    ['nothing', Buffer.alloc(0), ['end']],
    ['two elements', Buffer.from('0201070400', 'hex'), ['2 07 020107', '4  0400', 'end']],
    ['a length of one more byte', Buffer.from('02810107', 'hex'), ['2 07 02810107', 'end']],
    ['a length of four more bytes', Buffer.from('02840000000107', 'hex'), ['2 07 02840000000107', 'end']],
    ['a length of five more bytes', Buffer.from('0285000000000107', 'hex'), ['no DER']],
    ['an indefinite length', Buffer.from('30800000', 'hex'), ['no DER']],
    ['a tag of two bytes', Buffer.from('1f0100', 'hex'), ['no DER']],
    ['half of a head', Buffer.from('02', 'hex'), ['no DER']],
    ['half of a length', Buffer.from('028201', 'hex'), ['no DER']],
    ['less than the length', Buffer.from('020207', 'hex'), ['no DER']],
    ['a half behind a whole one', Buffer.from('02010702', 'hex'), ['2 07 020107', 'no DER']],
  ])('finds %s', (_, bytes, elements) => {
    expect(found(bytes)).toEqual(elements);
  });

  it('a length of three bytes is read from its highest on', () => {
    const content = Buffer.alloc(0x010203, 7);
    const bytes = Buffer.concat([Buffer.from('0483010203', 'hex'), content]);
    expect(found(bytes)).toHaveLength(2);
    expect(found(bytes.subarray(0, -1))).toEqual(['no DER']);
  });

  it('stays within its part of the bytes', () => {
    const bytes = Buffer.from('020107020108', 'hex');
    expect(found(bytes, 3)).toEqual(['2 08 020108', 'end']);
    expect(found(bytes, 0, 3)).toEqual(['2 07 020107', 'end']);
    expect(found(bytes, 0, 5)).toEqual(['2 07 020107', 'no DER']);
    expect(found(bytes, 0, 4)).toEqual(['2 07 020107', 'no DER']);
  });

  it('says whether the next element has a tag', () => {
    const cursor = new DerCursor(Buffer.from('020107', 'hex'));
    expect(cursor.nextIs(4)).toBe(false);
    expect(cursor.nextIs(2)).toBe(false);
    expect(new DerCursor(Buffer.from('020107', 'hex')).nextIs(2)).toBe(true);
  });
});

describe('a problem', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  it('is reported again after a minute, and others meanwhile', () => {
    const reports: string[] = [];
    const report = skipRepeatedReports((code, message) => void reports.push(`${code} ${message}`));
    const code = 'certificate_status_missing';
    report(code, 'a');
    report(code, 'a');
    report(code, 'b');
    vi.advanceTimersByTime(60_000);
    report(code, 'a');
    expect(reports).toEqual([`${code} a`, `${code} b`]);
    vi.advanceTimersByTime(1);
    report(code, 'a');
    expect(reports).toEqual([`${code} a`, `${code} b`, `${code} a`]);
  });
});
