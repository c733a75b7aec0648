import { expect, it } from 'vitest';
import { declaredOptions, withEnding, writeEndings } from './option-declarations.js';

if (process.env.SYNC_DOCS === '1') {
  writeEndings(await declaredOptions());
}
const options = await declaredOptions();

it('the declared options are found', () => {
  expect(options.map(({ path }) => path)).toContain('cacheOptions.maxAge');
});

it.each(options)('the doc comment of $path ends in its default, limits and variable', (one) => {
  expect(one.comment).toBe(withEnding(one));
});
