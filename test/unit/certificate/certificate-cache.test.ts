import { ClientCertificate } from '@mtls-bound/core';
import { expect, it } from 'vitest';
import { CertificateCache } from '../../../packages/core/src/certificate/certificate-cache.js';

const certificate = (letter: string) => new ClientCertificate({ thumbprint: letter.repeat(43) });

it.each([
  ['short texts', 'a', 'b'],
  ['texts that end alike', `A${'x'.repeat(3_000)}`, `B${'x'.repeat(3_000)}`],
  ['texts that begin alike', `${'x'.repeat(3_000)}A`, `${'x'.repeat(3_000)}B`],
  [
    'texts that differ in the middle',
    `${'x'.repeat(1_500)}A${'x'.repeat(1_500)}`,
    `${'x'.repeat(1_500)}B${'x'.repeat(1_500)}`,
  ],
  ['texts of another length', 'x'.repeat(3_000), 'x'.repeat(3_001)],
])('%s are never taken for one another', (_title, one, other) => {
  const cache = new CertificateCache(10);
  cache.set(one, certificate('A'));
  expect(cache.get(one)?.thumbprint).toBe('A'.repeat(43));
  expect(cache.get(other)).toBeUndefined();
  cache.set(other, certificate('B'));
  expect(cache.get(other)?.thumbprint).toBe('B'.repeat(43));
  expect(cache.get(one)?.thumbprint ?? 'gone').not.toBe('B'.repeat(43));
});

it('remembers so many and no more, the one used longest ago goes first', () => {
  const cache = new CertificateCache(2);
  for (const letter of ['A', 'B', 'A', 'C']) {
    cache.get(letter.repeat(1_000)) ?? cache.set(letter.repeat(1_000), certificate(letter));
  }
  expect(['A', 'B', 'C'].map((letter) => cache.get(letter.repeat(1_000)) !== undefined)).toEqual([
    true,
    false,
    true,
  ]);
});

it.each<[string, string, string, boolean]>([
  ['single letters', 'A', 'B', true],
  ['400 characters', `A${'x'.repeat(399)}`, `B${'x'.repeat(399)}`, true],
  ['401 characters, which end alike', `A${'x'.repeat(400)}`, `B${'x'.repeat(400)}`, false],
  [
    'longer ones, which differ in the middle',
    `${'x'.repeat(600)}A${'x'.repeat(600)}`,
    `${'x'.repeat(600)}B${'x'.repeat(600)}`,
    false,
  ],
  [
    'longer ones, which differ where a signature is',
    `${'x'.repeat(600)}A${'x'.repeat(100)}`,
    `${'x'.repeat(600)}B${'x'.repeat(100)}`,
    true,
  ],
])('texts are found by a piece near their end, short ones by all of it: %s', (_title, one, other, both) => {
  const cache = new CertificateCache(10);
  cache.set(one, certificate('A'));
  cache.set(other, certificate('B'));
  expect(cache.get(other)?.thumbprint).toBe('B'.repeat(43));
  expect(cache.get(one) !== undefined).toBe(both);
});
