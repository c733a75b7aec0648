// The entries of a revocation list are read strictly: one that can't be read makes the whole list unusable.
import { describe, expect, it } from 'vitest';
import { CrlEntries } from '../../../packages/core/src/certificate-status/crl-entries.js';
import {
  boolean,
  der,
  extension,
  identifier,
  integer,
  octets,
  sequence,
  text,
  time,
} from '../../support/written-der.js';

const when = time(Date.now(), true);
const reason = (code: number) => extension('2.5.29.21', der(0x0a, Buffer.from([code])));
const entry = (serial: readonly number[], ...extensions: Buffer[]) =>
  sequence(integer(...serial), when, ...(extensions.length > 0 ? [sequence(...extensions)] : []));

const read = (...entries: Buffer[]) => {
  const bytes = Buffer.concat(entries);
  return CrlEntries.read(bytes, 0, bytes.length);
};
async function opened(...entries: Buffer[]): Promise<CrlEntries> {
  const found = await read(...entries);
  if ('why' in found) {
    throw new Error(found.why);
  }
  return found;
}
const reasonOf = (entries: CrlEntries, ...serial: number[]) => entries.reasonOf(Buffer.from(serial));

describe('a certificate is listed', () => {
  it('with the reason of its own entry, or unspecified', async () => {
    const entries = await opened(entry([1]), entry([2], reason(1)), entry([3], reason(6)));
    expect([1, 2, 3, 4].map((serial) => reasonOf(entries, serial))).toEqual([0, 1, 6, undefined]);
    expect(entries.count).toBe(3);
  });

  it('with a reason among other extensions, critical or not', async () => {
    const known = [
      extension('2.5.29.24', time(Date.now())),
      extension('2.5.29.23', identifier('1.2.840.10040.2.1'), true),
      extension('1.2.3', octets(Buffer.from([9]))),
    ];
    const critical = extension('2.5.29.21', der(0x0a, Buffer.from([4])), true);
    const entries = await opened(entry([1], ...known, reason(3)), entry([2], critical, ...known));
    expect([reasonOf(entries, 1), reasonOf(entries, 2)]).toEqual([3, 4]);
  });

  it('with a reason behind fifteen other extensions', async () => {
    const others = Array.from({ length: 15 }, () => extension('1.2.3', integer(1)));
    expect(reasonOf(await opened(entry([1], ...others, reason(3))), 1)).toBe(3);
  });

  it('without a reason among its extensions', async () => {
    expect(reasonOf(await opened(entry([1], extension('1.2.3', integer(5)))), 1)).toBe(0);
  });

  it('with a GeneralizedTime, or a critical flag that is not set', async () => {
    const late = sequence(integer(1), time(Date.now()));
    const flagged = sequence(identifier('1.2.3'), boolean(false), octets(integer(1)));
    const entries = await opened(late, entry([2], flagged));
    expect([reasonOf(entries, 1), reasonOf(entries, 2)]).toEqual([0, 0]);
  });

  it('by the number, however many bytes stand in front', async () => {
    const entries = await opened(entry([0, 0, 1]), entry([0, 0x80]), entry([0x80]));
    expect(reasonOf(entries, 1)).toBe(0);
    expect(reasonOf(entries, 0, 1)).toBe(0);
    expect(reasonOf(entries, 0, 0x80)).toBe(0);
    expect(reasonOf(entries, 0xff, 0x80)).toBe(0);
    expect(reasonOf(entries, 0x81)).toBeUndefined();
  });

  it('by all bytes of a long number', async () => {
    const serial = Array.from({ length: 64 }, (_, at) => at + 1);
    const entries = await opened(entry(serial));
    expect(reasonOf(entries, ...serial)).toBe(0);
    expect(reasonOf(entries, ...serial.slice(0, -1), 0)).toBeUndefined();
    expect(reasonOf(entries, ...serial.slice(0, -1))).toBeUndefined();
  });

  it('in a list of any length', async () => {
    const serials = Array.from({ length: 5_000 }, (_, at) => [1 + (at >> 8), at & 0xff]);
    const entries = await opened(...serials.map((serial) => entry(serial)));
    expect(serials.every((serial) => reasonOf(entries, ...serial) === 0)).toBe(true);
    expect([reasonOf(entries, 0x7f, 0), entries.count]).toEqual([undefined, 5_000]);
    // Four bytes for each entry of 20 bytes at least, and its free neighbours.
    expect(entries.tableSize).toBeLessThanOrEqual(5_000 * 4 * 3);
  });

  it.each([1, 2, 3, 4, 5, 6, 12, 13, 25, 26, 51, 52, 102, 204, 409, 410, 819])(
    'in a list of %i of the smallest entries, and another one is not',
    async (count) => {
      const serials = Array.from({ length: count }, (_, at) =>
        count < 128 ? [at] : [1 + (at >> 8), at & 0xff],
      );
      const entries = await opened(...serials.map((serial) => entry(serial)));
      expect(serials.every((serial) => reasonOf(entries, ...serial) === 0)).toBe(true);
      expect(reasonOf(entries, 0x7f, 0, 0)).toBeUndefined();
    },
  );

  it('in no list without entries', async () => {
    const entries = await opened();
    expect([reasonOf(entries, 1), entries.count]).toEqual([undefined, 0]);
  });

  it('between the places alone that are given', async () => {
    const [before, within, after] = [entry([1]), entry([2]), entry([3])];
    const bytes = Buffer.concat([before, within, after]);
    const entries = await CrlEntries.read(bytes, before.length, before.length + within.length);
    expect([1, 2, 3].map((serial) => reasonOf(entries as CrlEntries, serial))).toEqual([
      undefined,
      0,
      undefined,
    ]);
  });
});

const unreadable = { code: 'unreadable', why: 'an entry of it can not be read' };
const critical = { code: 'unreadable', why: 'an entry of it has a critical extension that is not known' };
const manyExtensions = { code: 'too_large', why: 'an entry of it has more than 16 extensions' };
const indirect = { code: 'form_not_supported', why: 'it is an indirect list, which is not supported' };

describe('a list can not be used with', () => {
  const good = reason(1);
  it.each<[string, Buffer, object]>([
    ['an entry that is a set', der(0x31, integer(1), when), unreadable],
    ['an empty entry', sequence(), unreadable],
    ['a serial number of another type', sequence(octets(Buffer.from([1])), when), unreadable],
    ['an empty serial number', entry([]), unreadable],
    ['a serial number of 65 bytes', entry(Array<number>(65).fill(1)), unreadable],
    ['no time', sequence(integer(1)), unreadable],
    ['a time of another type', sequence(integer(1), octets(when)), unreadable],
    ['an empty UTCTime', sequence(integer(1), der(0x17)), unreadable],
    ['an empty GeneralizedTime', sequence(integer(1), der(0x18)), unreadable],
    ['a UTCTime without seconds', sequence(integer(1), text(0x17, '2601010000Z')), unreadable],
    ['a UTCTime without Z', sequence(integer(1), text(0x17, '2601010000000')), unreadable],
    ['a UTCTime in another zone', sequence(integer(1), text(0x17, '260101000000+0000')), unreadable],
    ['a UTCTime of letters', sequence(integer(1), text(0x17, '26010100000xZ')), unreadable],
    [
      'a UTCTime of four digits for the year',
      sequence(integer(1), text(0x17, '20260101000000Z')),
      unreadable,
    ],
    ['a GeneralizedTime of two', sequence(integer(1), text(0x18, '260101000000Z')), unreadable],
    ['a fraction of a second', sequence(integer(1), text(0x18, '20260101000000.5Z')), unreadable],
    ['extensions of another type', sequence(integer(1), when, der(0x31, good)), unreadable],
    ['something behind the extensions', sequence(integer(1), when, sequence(good), integer(1)), unreadable],
    [
      'an extension that is a set',
      entry([1], der(0x31, identifier('1.2.3'), octets(integer(1)))),
      unreadable,
    ],
    ['an empty extension', entry([1], sequence()), unreadable],
    ['an extension without identifier', entry([1], sequence(octets(integer(1)))), unreadable],
    ['an extension without value', entry([1], sequence(identifier('1.2.3'))), unreadable],
    [
      'a critical extension without value',
      entry([1], sequence(identifier('1.2.3'), boolean(true))),
      unreadable,
    ],
    ['a value of another type', entry([1], sequence(identifier('1.2.3'), integer(1))), unreadable],
    [
      'something behind a value',
      entry([1], sequence(identifier('1.2.3'), octets(integer(1)), integer(1))),
      unreadable,
    ],
    [
      'an entry of 17 extensions',
      entry([1], ...Array.from({ length: 17 }, () => extension('1.2.3', integer(1)))),
      manyExtensions,
    ],
    ['half of an extension', sequence(integer(1), when, sequence(good, Buffer.from([0x30]))), unreadable],
    ['half of an entry', Buffer.concat([entry([1]), Buffer.from([0x30])]), unreadable],
    ['an unknown critical extension', entry([1], extension('1.2.3', integer(1), true)), critical],
    [
      'an unknown critical extension of its own arc',
      entry([1], extension('2.5.29.22', integer(1), true)),
      critical,
    ],
    [
      'a critical flag of two bytes',
      entry([1], sequence(identifier('1.2.3'), der(0x01, Buffer.from([0, 0])), octets(integer(1)))),
      critical,
    ],
    [
      'an identifier that only ends like a known one',
      entry([1], extension('2.5.30.21', integer(1), true)),
      critical,
    ],
    [
      'an identifier that only begins with other numbers',
      entry([1], extension('2.4.29.21', integer(1), true)),
      critical,
    ],
    ['a longer identifier', entry([1], extension('2.5.29.1.21', integer(1), true)), critical],
    ['the issuer of a certificate, critical', entry([1], extension('2.5.29.29', sequence(), true)), indirect],
    [
      'the issuer of a certificate, not critical, behind another',
      entry([1], good, extension('2.5.29.29', sequence())),
      indirect,
    ],
  ])('%s', async (_, bytes, reasonNot) => {
    expect(await read(bytes)).toEqual(reasonNot);
    expect(await read(entry([7]), bytes)).toEqual(reasonNot);
  });
});

it('a list of many entries with empty times is refused', async () => {
  // They have 8 bytes. The table has slots for entries of 20 bytes and more.
  const serials = Array.from({ length: 100 }, (_, at) => [1 + (at >> 8), at & 0xff]);
  expect(await read(...serials.map((serial) => sequence(integer(...serial), der(0x17))))).toEqual(unreadable);
});
