// How deep JSON nests is seen in its text, before it is parsed, and in a value.
import { describe, expect, it } from 'vitest';
import { nestsTooDeep, textNestsTooDeep } from '../../../packages/core/src/shared/json-nesting.js';

const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;

const texts: [string, string, boolean][] = [
  ['64 levels', nested(64), false],
  ['66 levels', nested(66), true],
  ['65 lists', `${'['.repeat(65)}${']'.repeat(65)}`, true],
  ['100,000 lists', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, true],
  ['1,000 lists next to each other', `[${Array(1_000).fill('[]')}]`, false],
  ['64 levels with a number behind', `${nested(64).slice(0, -1)},1]`, false],
  ['brackets in a text', JSON.stringify(['['.repeat(100)]), false],
  ['brackets in a name', JSON.stringify({ ['{'.repeat(100)]: 1 }), false],
  ['a quote in a text', `["\\"",${nested(64)}]`, true],
  ['a quote and brackets in a text', JSON.stringify([`"${'['.repeat(100)}`]), false],
  ['closing brackets in a text', `["${']'.repeat(100)}",${nested(64)}]`, true],
  ['a text that ends with a backslash', `["\\\\",${nested(64)}]`, true],
  ['a number', '1', false],
  ['null', 'null', false],
];

describe.each(texts)('%s', (_title, text, expected) => {
  it('is judged by its text', () => {
    expect(textNestsTooDeep(text)).toBe(expected);
  });

  it('is judged by its value', () => {
    expect(nestsTooDeep(JSON.parse(text))).toBe(expected);
  });
});

it('one object in many places of a value is looked at once', () => {
  let value: object = {};
  for (let depth = 0; depth < 62; depth += 1) {
    value = [value, value, value];
  }
  expect(nestsTooDeep(value)).toBe(false);
  expect(nestsTooDeep([value, [value]])).toBe(true);
});
