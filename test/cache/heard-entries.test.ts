import { beforeEach, describe, expect, it } from 'vitest';
import { HeardEntries } from '../../packages/core/src/revocation/read-entries.js';

const all = ['1', '2', '3', '4', '5', '6'];

function heard(positions: readonly string[], max = 100): HeardEntries {
  const entries = new HeardEntries(max);
  for (const position of positions) {
    entries.add(position, `an entry that was sealed: number ${position}`, Number(position));
  }
  return entries;
}

let mine: HeardEntries;
beforeEach(() => {
  mine = heard(all);
});

describe('what another process has read', () => {
  it.each<[string, HeardEntries, boolean]>([
    ['the same', heard(all), true],
    ['the same, but for the last entries', heard(all.slice(0, 4)), true],
    ['nothing', heard([]), true],
    ['no entry in the middle', heard(['1', '2', '4', '5', '6']), false],
    ['an entry more', heard(['1', '2', '3', '35', '4', '5', '6']), false],
    ['an entry at another position', heard(['1', '25', '3', '4', '5', '6']), false],
    ['no first entry, though it is young', heard(all.slice(1)), false],
  ])('is %s', (_title, theirs, isAgreed) => {
    expect(mine.agrees(theirs.attestAll('knock'), 0)).toBe(isAgreed);
  });

  it('is another entry at the same position', () => {
    const theirs = heard(all.slice(0, 5));
    theirs.add('6', 'an entry that was sealed: number 7', 6);
    expect(mine.agrees(theirs.attestAll('knock'), 0)).toBe(false);
  });

  it('may lack first entries that are old enough to be gone', () => {
    expect(mine.agrees(heard(all.slice(2)).attestAll('knock'), 2)).toBe(true);
    expect(mine.agrees(heard(all.slice(2)).attestAll('knock'), 1)).toBe(false);
  });
});

describe('an attestation', () => {
  it('is of young entries alone, and of those after a position', () => {
    expect(mine.attestSince('answer', 2)).toMatchObject({ from: '3', upTo: '6', isFromFirst: false });
    expect(mine.attestSince('beat', 2, '5')).toMatchObject({ from: '5', upTo: '6' });
    expect(mine.attestSince('beat', 6)).toMatchObject({ from: undefined, upTo: undefined });
  });

  it('of young entries agrees with a process that has no older ones', () => {
    const later = heard(all.slice(2));
    expect(later.agrees(mine.attestSince('answer', 2), 2)).toBe(true);
    expect(later.agrees(mine.attestSince('answer', 1), 1)).toBe(false);
  });
});

it.each([
  ['4', 0, 3],
  ['4', 3, 0],
  ['1', 0, 0],
  ['9', 0, 6],
])('before %s, after the moment %i, the newest was written at %i', (position, youngSince, newest) => {
  expect(mine.newestBefore(position, youngSince)).toBe(newest);
});

describe('of many entries', () => {
  it('the newest are remembered, and others are not compared', () => {
    const few = heard(all, 2);
    expect([few.oldest, few.has('2'), few.has('3'), few.has('6')]).toEqual(['3', false, true, true]);
    expect(few.agrees(heard(['1', '25', '3', '4', '5', '6']).attestAll('knock'), 0)).toBe(true);
    expect(few.agrees(heard(['3', '5', '6']).attestAll('knock'), 0)).toBe(false);
    expect(few.attestAll('knock')).toMatchObject({ from: '3', isFromFirst: false });
    expect(few.agrees(heard(all).attestSince('answer', 0), 0)).toBe(false);
  });

  it('none is remembered after clear()', () => {
    mine.clear();
    expect([mine.oldest, mine.has('6'), mine.attestAll('beat').from]).toEqual([undefined, false, undefined]);
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
