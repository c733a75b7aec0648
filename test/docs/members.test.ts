import { describe, expect, it } from 'vitest';
import { optionTypes, statedIn } from './option-types.js';
import { entries, membersOf, publicExports } from './public-api.js';

it('the types of options are found', () => {
  expect([...optionTypes.keys()]).toEqual(expect.arrayContaining(['ResourceServerOptions', 'TokenRequest']));
  expect(optionTypes.size).toBeGreaterThan(30);
});

describe.each([...optionTypes.values()])('$name', (type) => {
  it.each(membersOf(type))(
    '$name has a doc comment that says its default, or that it is required',
    (member) => {
      const { words, isRequired } = statedIn(member);
      expect(words).toMatch(/\S/);
      expect(isRequired || member.isOptional).toBe(true);
    },
  );
});

// Of the others, what may be left out; but for what other libraries define.
const elsewhere = ['RedisSubscriber.destroy', 'RedisSubscriber.disconnect', 'HttpRequest.body'];

it.each(
  Object.values(entries)
    .flatMap(publicExports)
    .flatMap((type) => membersOf(type).map((member) => ({ ...member, path: `${type.name}.${member.name}` })))
    .filter(({ isOptional, path }) => isOptional && !elsewhere.includes(path)),
)('$path has a doc comment', ({ comment }) => {
  expect(comment).toMatch(/\S/);
});
