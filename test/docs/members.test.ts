import { describe, expect, it } from 'vitest';
import { entries, membersOf, type PublicExport, publicExports } from './public-api.js';

// Types whose members users give, and whose names do not end in Options.
const otherNames = [
  'AlternativeNames',
  'AuthenticationRequirement',
  'AuthorizationDetailRequirement',
  'CertificateAndKey',
  'CertificateHeader',
  'HeaderNames',
  'RefusalDetails',
  'SharedSecret',
  'SignedAnswers',
];

// We give these to a function of the user's.
const isOptionType = ({ name }: PublicExport): boolean =>
  otherNames.includes(name) ||
  (/^[A-Z]\w*Options$/.test(name) && !['ConnectionOptions', 'TlsClientAuthOptions'].includes(name));

/** Every type whose members users give, by its name. */
const optionTypes: ReadonlyMap<string, PublicExport> = new Map(
  Object.values(entries)
    .flatMap(publicExports)
    .filter(isOptionType)
    .map((type) => [type.name, type]),
);

it('the types of options are found', () => {
  expect([...optionTypes.keys()]).toEqual(
    expect.arrayContaining(['ResourceServerOptions', 'TestTokenOptions']),
  );
  expect(optionTypes.size).toBeGreaterThan(30);
});

describe.each([...optionTypes.values()])('$name', (type) => {
  it.each(membersOf(type))(
    '$name has a doc comment that says its default, or that it is required',
    (member) => {
      const [, whenMissing] = /\S (Default|Required).*\.$/.exec(member.comment) ?? [];
      expect(whenMissing === 'Required' || (whenMissing === 'Default' && member.isOptional)).toBe(true);
    },
  );
});

// Of the others, what may be left out; but for what other libraries define.
const elsewhere = ['RedisSubscriber.destroy', 'RedisSubscriber.disconnect', 'OutgoingRequest.body'];

it.each(
  Object.values(entries)
    .flatMap(publicExports)
    .flatMap((type) => membersOf(type).map((member) => ({ ...member, path: `${type.name}.${member.name}` })))
    .filter(({ isOptional, path }) => isOptional && !elsewhere.includes(path)),
)('$path has a doc comment', ({ comment }) => {
  expect(comment).toMatch(/\S/);
});
