// Which lists of a file that held them before go first, where too many are kept.
import { describe, expect, it } from 'vitest';
import type { CrlHead } from '../../../packages/core/src/certificate-status/crl.js';
import { findKeptBeyondLimits } from '../../../packages/core/src/certificate-status/kept-crls.js';

interface Kept {
  readonly issuer: string;
  readonly size?: number;
  readonly nextUpdate?: number;
  readonly isOpened?: boolean;
}

/** Returns which of the lists are left, with a `maxSize` of 100. */
function leftOf(
  kept: readonly Kept[],
  unusable: readonly (string | undefined)[],
  inFile: readonly Kept[] = [],
): readonly Kept[] {
  const about = new Map<CrlHead, Kept>();
  const headOf = (list: Kept): CrlHead => {
    const { size = 1, nextUpdate = 0 } = list;
    const head: Pick<CrlHead, 'der' | 'nextUpdate'> = { der: Buffer.alloc(size), nextUpdate };
    about.set(head as CrlHead, list);
    return head as CrlHead;
  };
  const isOpened = (head: CrlHead): boolean => about.get(head)?.isOpened ?? false;
  const heads = kept.map(headOf);
  const file = {
    heads: new Map(inFile.map((list, index) => [headOf(list), index + 1])),
    kept: heads,
    unusable: unusable.map((name) => ({ name, number: 1, why: '' })),
  };
  const nameOf = (head: CrlHead) => about.get(head)?.issuer;
  const beyond = findKeptBeyondLimits(file, 100, { nameOf, isOpened, canBeUsed: isOpened });
  return kept.filter((_, index) => !beyond.includes(heads[index] as CrlHead));
}

const of = (count: number, list: Kept): Kept[] => Array.from({ length: count }, () => ({ ...list }));

describe('of the lists that are kept for one file', () => {
  it('a hundred stay, and four times maxSize', () => {
    expect(leftOf(of(101, { issuer: 'a' }), ['a'])).toHaveLength(100);
    expect(leftOf(of(6, { issuer: 'a', size: 100 }), ['a'])).toHaveLength(4);
  });

  it('as many stay of an issuer as it has unusable lists', () => {
    const [a, b] = [of(7, { issuer: 'a', size: 100 }), of(7, { issuer: 'b', size: 100 })];
    const left = leftOf([...a, ...b], [...of(6, { issuer: 'a' }).map(({ issuer }) => issuer), 'b']);
    expect(left.filter(({ issuer }) => issuer === 'a')).toHaveLength(6);
    expect(left.filter(({ issuer }) => issuer === 'b')).toHaveLength(2);
  });

  it('one of each issuer goes after all further ones', () => {
    const one = { issuer: 'a', size: 100, nextUpdate: 1 };
    const left = leftOf(
      [one, ...of(6, { issuer: 'b', size: 100, nextUpdate: 2, isOpened: true })],
      [undefined],
    );
    expect(left).toContain(one);
    expect(left).toHaveLength(4);
  });

  it('those whose issuer has no list in the file go last', () => {
    const one = { issuer: 'none', size: 100 };
    const others = Array.from({ length: 6 }, (_, number): Kept => {
      return { issuer: `${number}`, size: 100, nextUpdate: 1, isOpened: true };
    });
    const left = leftOf([...others, one], [undefined], others);
    expect(left).toContain(one);
    expect(left).toHaveLength(4);
  });

  it('as many stay of any issuers as the file has unusable lists of unknown ones', () => {
    const all = Array.from({ length: 8 }, (_, number): Kept => ({ issuer: `${number}`, size: 100 }));
    expect(leftOf(all, Array(6).fill(undefined))).toHaveLength(6);
  });

  it('those that a key has opened stay while their issuer has as many lists in the file that none has', () => {
    const names = Array.from({ length: 6 }, (_, number) => ({ issuer: `${number}`, size: 100 }));
    const opened = names.map((list) => ({ ...list, isOpened: true }));
    expect(leftOf(opened, [], names)).toHaveLength(6);
    expect(leftOf(opened, [], opened)).toHaveLength(4);
    expect(leftOf(names, [], names)).toHaveLength(4);
  });

  it('those that a key has opened, and that expire last, go last', () => {
    const lists = [1, 2, 3, 4, 5].map((nextUpdate): Kept => ({ issuer: 'a', size: 100, nextUpdate }));
    const first = { issuer: 'a', size: 100, isOpened: true };
    expect(leftOf([...lists, first], [])).toEqual([...lists.slice(2), first]);
  });
});
