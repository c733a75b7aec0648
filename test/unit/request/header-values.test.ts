// Which values of a header count: each line that Node's parser kept, or the members of `headers` where it kept none.
import { describe, expect, it } from 'vitest';
import {
  hasHeaderLines,
  headerValues,
  indexOfLine,
} from '../../../packages/core/src/request/header-lines.js';

describe('hasHeaderLines()', () => {
  it.each<[string, object, boolean]>([
    ['lines', { rawHeaders: ['A', 'b'], headers: { a: 'b' } }, true],
    ['lines, whose headers are not made', { rawHeaders: ['A', 'b'] }, true],
    ['neither lines nor headers', { rawHeaders: [], headers: {} }, true],
    ['no lines, and headers that are missing', { rawHeaders: [] }, true],
    ['headers alone', { rawHeaders: [], headers: { a: 'b' } }, false],
    ['no list of lines', { headers: {} }, false],
    ['a text for the lines', { rawHeaders: 'A: b', headers: {} }, false],
  ])('a request with %s has lines or has none', (_title, req, expected) => {
    expect(hasHeaderLines(req as never)).toBe(expected);
  });
});

describe('indexOfLine()', () => {
  const lines = ['Via', 'x-id', 'X-Id', 'a', 'x-ids', 'b', 'X-ID', 'c'];

  it.each([
    [0, 2],
    [2, 2],
    [4, 6],
    [8, -1],
  ])('finds a name in any case from %i on at %i, and neither a value nor a longer name', (start, at) => {
    expect(indexOfLine(lines, 'x-id', start)).toBe(at);
  });

  it('finds no name of the same length that differs', () => {
    expect(indexOfLine(lines, 'x-ia', 0)).toBe(-1);
  });
});

describe('headerValues()', () => {
  it('returns the value of each line in its order, and ignores headers', () => {
    const rawHeaders = ['X-Id', 'a', 'Other', 'x-id', 'x-id', ''];
    expect(headerValues({ rawHeaders, headers: { 'x-id': 'forged' } }, 'x-id')).toEqual(['a', '']);
    expect(headerValues({ rawHeaders, headers: { missing: 'forged' } }, 'missing')).toEqual([]);
  });

  it.each<[unknown, readonly string[]]>([
    ['a', ['a']],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
    [['a', 1, undefined], ['a']],
    [7, []],
    [undefined, []],
  ])('returns the texts of the member %j of headers where there are no lines', (value, expected) => {
    expect(headerValues({ rawHeaders: [], headers: { other: 'x', 'x-id': value } } as never, 'x-id')).toEqual(
      expected,
    );
  });

  it('returns nothing that headers inherit, and nothing for a request without headers', () => {
    const headers = Object.assign(Object.create({ 'x-id': 'inherited' }), { other: 'x' });
    expect(headerValues({ rawHeaders: [], headers }, 'x-id')).toEqual([]);
    expect(headerValues({} as never, 'x-id')).toEqual([]);
  });
});
