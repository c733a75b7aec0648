import { describe, expect, it } from 'vitest';
import { issuerNamedIn } from '../../../packages/core/src/authorization-server/named-issuer.js';
import {
  decodeDistinguishedName,
  parseDistinguishedName,
} from '../../../packages/core/src/certificate/distinguished-name.js';
import { readCredentials } from '../../../packages/core/src/request/credentials.js';
import { issuerByPath } from '../../../packages/core/src/request/issuer-selection.js';

const request = (line: string, url = '/') =>
  ({ url, headers: {}, rawHeaders: ['authorization', line] }) as never;

/** What reads text of a stranger's making. */
const readers: Readonly<Record<string, (text: string) => unknown>> = {
  'the Authorization header': (text) => readCredentials(request(text), undefined, false),
  'a token': (text) => readCredentials(request(`Bearer ${text}`), undefined, false),
  'a query': (text) => readCredentials(request('Bearer a', `/?${text}`), undefined, false),
  'a path': (text) => issuerByPath({ '/red': 'https://as.example.com' })(request('', `/${text}`)),
  'the iss of a JWT': (text) => issuerNamedIn(`a.${Buffer.from(text).toString('base64url')}.b`),
  'dots of a JWT': issuerNamedIn,
  'a name of a certificate': (text) => decodeDistinguishedName([{ CN: [text] }]),
  'a name as text': parseDistinguishedName,
};

const shapes = [
  'a',
  ' ',
  '\t',
  '=',
  '.',
  ',',
  '/',
  '%',
  '%2F',
  '\\',
  '\\2c',
  '"',
  '+',
  '1.',
  'a=',
  'a=b,',
  'Bearer ',
];

describe.each(Object.entries(readers))('%s', (_name, read) => {
  // Node takes 16 kB of headers in all, so nothing that comes with a request is longer.
  it('of 16 kB is read in a moment, whatever it is made of', () => {
    for (const shape of shapes) {
      for (const end of ['', '!', '=']) {
        const text = shape.repeat(16_000 / shape.length) + end;
        const times = Array.from({ length: 3 }, () => {
          const start = performance.now();
          try {
            read(text);
          } catch {
            // A refusal is an answer too.
          }
          return performance.now() - start;
        });
        // Milliseconds. Quadratic time would be hundreds.
        expect(Math.min(...times), JSON.stringify(shape)).toBeLessThan(20);
      }
    }
  });
});
