import { ClientCertificate } from '@mtls-bound/core';
import { expect, it } from 'vitest';
import { CertificateCache } from '../../packages/core/src/certificate/certificate-cache.js';

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
