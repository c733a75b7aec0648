// How many arguments a function was given, where it would ignore further ones.
import { describe, expect, it } from 'vitest';
import { refuseFurtherArguments } from '../../../packages/core/src/shared/call-arguments.js';

const check = (given: readonly unknown[], most: number) => () =>
  refuseFurtherArguments('nginx()', given, most, 'one object of options');

describe('a function that ignores further arguments', () => {
  it.each<[string, readonly unknown[], number]>([
    ['none', [], 0],
    ['undefined, as promise.then() passes it', [undefined], 0],
    ['as many as it takes', [{}], 1],
    ['undefined behind them', [{}, undefined, undefined], 1],
  ])('accepts %s', (_, given, most) => {
    expect(check(given, most)).not.toThrow();
  });

  it.each<[string, readonly unknown[], number, string]>([
    ['one more', [{}], 0, 'nginx(): expected one object of options, got 1 argument'],
    ['null', [null], 0, 'nginx(): expected one object of options, got 1 argument'],
    ['two more', [{}, 1, 2], 1, 'nginx(): expected one object of options, got 3 arguments'],
    ['one behind undefined', [undefined, 1], 1, 'nginx(): expected one object of options, got 2 arguments'],
  ])('refuses %s', (_, given, most, message) => {
    expect(check(given, most)).toThrow(message);
  });
});
