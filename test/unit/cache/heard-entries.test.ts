import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Attestations } from '../../../packages/core/src/revocation/attestations.js';
import { type Attestation, EntryHistory } from '../../../packages/core/src/revocation/entry-history.js';

const all = ['1', '2', '3', '4', '5', '6'];

/** Entries, each written at the moment that its position says, by a writer of its own. */
function heard(positions: readonly string[], max = 100): EntryHistory {
  const entries = new EntryHistory(max);
  for (const position of positions) {
    entries.add(position, `writer ${position}`, 1, Number(position));
  }
  return entries;
}

function attested(entries: EntryHistory, youngSince = 0, completeSince = 0, from?: string): Attestation {
  return entries.attest({ kind: 'answer', by: 'another', youngSince, completeSince, from });
}

let mine: EntryHistory;
beforeEach(() => {
  mine = heard(all);
});

describe('what another process has read', () => {
  it.each<[string, EntryHistory, string]>([
    ['the same', heard(all), 'same'],
    ['the same, but for the last entries', heard(all.slice(0, 4)), 'same'],
    ['unknown, if it has read nothing', heard([]), 'unknown'],
    ['something else without an entry in the middle', heard(['1', '2', '4', '5', '6']), 'other'],
    ['something else with an entry more', heard(['1', '2', '3', '35', '4', '5', '6']), 'other'],
    ['something else with an entry at another position', heard(['1', '25', '3', '4', '5', '6']), 'other'],
    [
      'something else without the last entry, and with a later one',
      heard([...all.slice(0, 5), '7']),
      'other',
    ],
    ['something else without the first entry, though it is young', heard(all.slice(1)), 'other'],
  ])('is %s', (_title, theirs, comparison) => {
    expect(mine.compare(attested(theirs), 0)).toBe(comparison);
  });

  it.each([
    ['another writer', 'writer 7', 1],
    ['another number of its writer', 'writer 6', 2],
  ])('is something else where at one position stands an entry of %s', (_title, writer, number) => {
    const theirs = heard(all.slice(0, 5));
    theirs.add('6', writer, number, 6);
    expect(mine.compare(attested(theirs), 0)).toBe('other');
  });

  it('may lack first entries that are old enough to be gone', () => {
    expect(mine.compare(attested(heard(all.slice(2))), 2)).toBe('same');
    expect(mine.compare(attested(heard(all.slice(2))), 1)).toBe('other');
  });

  it('may lack first entries from before it vouches for tokens', () => {
    expect(mine.compare(attested(heard(all.slice(2)), 0, 2), 0)).toBe('same');
    expect(mine.compare(attested(heard(all.slice(2)), 0, 1), 0)).toBe('other');
  });
});

describe('an attestation', () => {
  it('is of young entries alone, and of those after a position', () => {
    expect(attested(mine, 2)).toMatchObject({ from: '3', upTo: '6', since: 2 });
    expect(attested(mine, 2, 0, '5')).toMatchObject({ from: '5', upTo: '6', since: 4 });
    expect(attested(mine, 6)).toMatchObject({ from: undefined, upTo: undefined, since: 6 });
  });

  it('says since when its process vouches for tokens', () => {
    expect(attested(mine, 0, 7)).toMatchObject({ from: '1', since: 7 });
  });

  it('of young entries is the same as that of a process that has no older ones', () => {
    const later = heard(all.slice(2));
    expect(later.compare(attested(mine, 2), 2)).toBe('same');
    expect(later.compare(attested(mine, 1), 1)).toBe('other');
  });

  it.each([
    [0, 5, 5],
    [5, 5, 0],
    [0, 0, 0],
  ])(
    'of young entries since %i, by a process that vouches since %i, proves all since %i',
    (young, complete, since) => {
      expect(mine.comparedSince(attested(heard(all), young, complete), young)).toBe(since);
    },
  );
});

describe('of many entries', () => {
  const more = [...all, '7', '8'];

  it('a tenth more than are attested is remembered, and at most twice as many', () => {
    const few = heard(all, 2);
    expect(all.filter((position) => few.has(position))).toEqual(['3', '4', '5', '6']);
    expect(attested(few)).toMatchObject({ from: '5', upTo: '6', since: 4 });
  });

  it('what is forgotten is not compared, which is no agreement', () => {
    const few = heard(all, 2);
    expect(few.compare(attested(heard(['1', '25', '3', '4', '5', '6'])), 0)).toBe('unknown');
    expect(few.compare(attested(heard(all)), 0)).toBe('unknown');
    expect(few.compare(attested(heard(['4', '6'])), 0)).toBe('other');
  });

  it.each([
    ['the process that attests has forgotten', heard(more, 100), heard(more, 2), 6],
    ['the process that compares has forgotten', heard(more, 2), heard(more, 3), 5],
  ])('an agreement proves nothing from before what %s', (_title, reader, writer, since) => {
    const attestation = attested(writer);
    expect(reader.compare(attestation, 0)).toBe('same');
    expect(reader.comparedSince(attestation, 0)).toBe(since);
    expect(reader.comparedSince(attestation, 7)).toBe(0);
  });

  it('none is remembered after clear()', () => {
    mine.clear();
    expect([mine.has('6'), attested(mine).from, attested(mine).since]).toEqual([false, undefined, 0]);
    mine.add('2', 'writer 2', 1, 2);
    expect(mine.compare(attested(heard(['1', '2'])), 0)).toBe('other');
  });
});

it.each([
  ...all.map((position) => [position, true] as const),
  ['0', false],
  ['35', false],
  ['7', false],
] as const)('has %s: %s', (position, isThere) => {
  expect(mine.has(position)).toBe(isThere);
});

describe('of a long log', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  const positionOf = (number: number) => String(number).padStart(6, '0');
  /** Adds entries, each of which was written at the moment of its number. */
  function addTo(entries: EntryHistory, from: number, to: number): EntryHistory {
    for (let number = from; number < to; number += 1) {
      entries.add(positionOf(number), `writer ${number % 7}`, number, number);
    }
    return entries;
  }
  const long = (count: number, max = 100_000) => addTo(new EntryHistory(max), 1, count + 1);

  it('what is attested or compared again costs no more than the newest entries', () => {
    const entries = long(50_000);
    const other = long(50_001);
    const stringify = vi.spyOn(JSON, 'stringify');
    const callsOf = (run: () => unknown): number => {
      stringify.mockClear();
      run();
      return stringify.mock.calls.length;
    };
    const join = attested(entries);
    expect(callsOf(() => attested(entries))).toBeLessThanOrEqual(2);
    addTo(entries, 50_001, 50_002);
    expect(callsOf(() => attested(entries))).toBeLessThanOrEqual(2);
    const answer = attested(other);
    expect(callsOf(() => expect(entries.compare(join, 0)).toBe('same'))).toBeLessThanOrEqual(2);
    expect(callsOf(() => expect(entries.compare(answer, 0)).toBe('same'))).toBeLessThanOrEqual(2);
  });

  it('it is as if it were attested for the first time, whatever was before', () => {
    const max = 5_000;
    const entries = long(3_000, max);
    let count = 3_000;
    for (let round = 0; round < 60; round += 1) {
      const more = Math.floor(Math.random() * 900);
      addTo(entries, count + 1, count + more + 1);
      count += more;
      const young = Math.floor(Math.random() * 3) * 1_000 + count - 4_900;
      const after = Math.random() < 0.3 ? positionOf(count - Math.floor(Math.random() * 2_000)) : undefined;
      const fresh = attested(long(count, max), young, 0, after);
      const again = attested(entries, young, 0, after);
      expect({ ...again, since: 0 }).toEqual({ ...fresh, since: 0 });
      expect(entries.compare(attested(long(count - 20, max), young), young)).toBe('same');
      const changed = new EntryHistory(max);
      addTo(changed, count - 4_000, count - 2_500);
      addTo(changed, count - 2_499, count + 1);
      expect(entries.compare(attested(changed), count - 4_001)).toBe('other');
    }
  });

  it('it is as if it were attested for the first time after others were forgotten', () => {
    const entries = long(6_000, 3_000);
    const { from } = attested(entries);
    // As many as before, so that the first one that is attested has the same place.
    addTo(entries, 6_001, 8_701);
    expect(attested(entries)).toEqual(attested(long(8_700, 3_000)));
    expect(attested(entries).from).not.toBe(from);
  });

  it('it begins with the same entry for half a minute', () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 + 10_000 });
    const maxAgeMs = 60_000;
    const entries = new EntryHistory(1_000);
    for (let second = -200; second < 0; second += 1) {
      entries.add(positionOf(second + 200), 'writer', second + 200, Date.now() + second * 1_000);
    }
    const attestations = new Attestations({ entries, maxAgeMs, completeSince: () => 0 });
    const { from } = attestations.attest('join');
    const firsts = new Set<string | undefined>();
    for (let second = 0; second < 29; second += 1) {
      firsts.add(attestations.attest('answer').from);
      vi.advanceTimersByTime(1_000);
    }
    expect([...firsts]).toEqual([from]);
    // It is older than what another process compares, whose clock may be behind, and in the log.
    const age = (200 - Number(from)) * 1_000;
    expect(age).toBeGreaterThanOrEqual(maxAgeMs + 10_000 - 1_000);
    expect(age).toBeLessThanOrEqual(maxAgeMs + 40_000);
    vi.advanceTimersByTime(30_000);
    expect(attestations.attest('answer').from).not.toBe(from);
  });
});
