// Envoy that appends writes its element, as text, before the last bracket of the list that the client sent. No list of a client
// makes another certificate count than that of its connection.
import { envoy } from '@mtls-bound/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../support/fuzzing.js';

const victim = 'a'.repeat(64);
const own = 'b'.repeat(64);
const thumbprintOf = (hash: string): string => Buffer.from(hash, 'hex').toString('base64url');

/**
 * As Envoy 1.40 does it: a header that looks like a list gets an element more; any other gets an element of the text form,
 * with the names as they are.
 */
function appended(came: string, names: readonly string[]): string {
  const element = { by: ['spiffe://example.com/gateway'], hash: own, subject: names[0] ?? '', uri: names };
  const trimmed = came.trim();
  if (trimmed === '') {
    return JSON.stringify([element]);
  }
  return trimmed.startsWith('[') && trimmed.endsWith(']')
    ? `${trimmed.slice(0, -1)},${JSON.stringify(element)}]`
    : `${trimmed},${names.length === 0 ? 'By=x;' : ''}Hash=${own}${names.map((name) => `;URI=${name}`).join('')}`;
}

const pieces = fc.constantFrom(
  ...[
    '[',
    ']',
    '{',
    '}',
    ',',
    ':',
    '"',
    '\\',
    '\\"',
    ' ',
    '[]',
    '{}',
    '[{',
    '}]',
    '[[',
    '"x":',
    '"x":"',
    '"x":[',
    '"x":{',
  ],
  ...[`"hash":"${victim}"`, `{"hash":"${victim}"}`, `[{"hash":"${victim}"}`, `[{"hash":"${victim}","x":`],
  ...[`[{"hash":"${victim}","x":"`, '"}]', 'a"}]'],
  ...[`"Hash":"${victim}"`, `Hash=${victim}`, '"cert":""', '"__proto__":{', '//', '/*', '\u0000', '\t'],
);
const written = fc.oneof(
  fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join('')),
  fc.constantFrom(`[{"hash":"${victim}","x":"`, `[{"hash":"${victim}"},{"x":"`, '"}]', 'a"}]'),
);

/** The client's element, or what else came of it. */
function outcome(value: string, hops: number): string {
  const decoded = envoy({ forward: 'append-forward', hops }).decode(value);
  return decoded.kind === 'hash' ? decoded.thumbprint : decoded.kind;
}

describe('a client that sends a list itself, to an Envoy that appends', () => {
  it('is read by its own certificate or refused, whatever it sends', () => {
    fc.assert(
      fc.property(written, fc.array(written, { maxLength: 2 }), (came, names) => {
        const found = outcome(appended(came, names), 1);
        expect([thumbprintOf(own), 'malformed']).toContain(found);
      }),
      runs(20_000),
    );
  });

  it('is read by its own certificate or refused behind two of them, too', () => {
    fc.assert(
      fc.property(written, (came) => {
        // The second Envoy appends to what the first one made of it.
        const found = outcome(appended(appended(came, []), []), 2);
        expect([thumbprintOf(own), 'malformed']).toContain(found);
      }),
      runs(20_000),
    );
  });

  it.each([
    ['nothing', '', thumbprintOf(own)],
    ['an element', `[{"hash":"${victim}"}]`, 'malformed'],
    ['an empty list', '[]', 'malformed'],
    ['a list that does not end', `[{"hash":"${victim}","x":[]`, 'malformed'],
    ['a text that does not end', `[{"hash":"${victim}","x":"]`, 'malformed'],
    ['an element of the text form', `Hash=${victim}`, 'malformed'],
  ])('%s', (_title, came, expected) => {
    expect(outcome(appended(came, []), 1)).toBe(expected);
  });

  it.each([
    ['a list that a name of its certificate ends', 1],
    ['such a list, behind a second Envoy that adds an element', 2],
  ])('%s is refused', (_title, hops) => {
    const first = appended(`[{"hash":"${victim}","x":"`, ['a"}]']);
    expect(first).toBe(`[{"hash":"${victim}","x":",Hash=${own};URI=a"}]`);
    expect(outcome(hops === 1 ? first : appended(first, []), hops)).toBe('malformed');
  });

  it('a list in which a name holds ";Hash=" is refused, as in the text form', () => {
    expect(outcome(appended('', ['spiffe://a;hash=']), 1)).toBe('malformed');
  });
});
