// Authorities that are read again: a set with a certificate that can't be used leaves the old one in force.
import 'reflect-metadata';
import { expect, it } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import { AuthoritySource } from '../../../packages/core/src/chain/authorities.js';
import { authority } from '../../support/chains.js';

await library.load();
const root = await authority('CN=Root');
const other = await authority('CN=Other');
const costly = await authority(Array.from({ length: 150 }, (_, at) => `OU=${at}`).join(', '));

it('keeps the old set if the name of one certificate costs too much to read, and reports it', async () => {
  let given = root.cert;
  const reports: string[] = [];
  const source = new AuthoritySource(
    () => given,
    'authorities',
    (code, text) => void reports.push(`${code}: ${text}`),
  );
  const start = Date.now();
  await source.prepare(start);
  expect([...source.current().values()].flat()).toHaveLength(1);

  given = `${root.cert}${costly.cert}`;
  await source.prepare(start + 61_000);
  expect([...source.current().values()].flat()).toHaveLength(1);
  expect(source.generation).toBe(1);
  expect(reports).toEqual([
    expect.stringMatching(/^authorities_unreadable: .*read again: a certificate of the authorities: /),
  ]);

  given = `${root.cert}${other.cert}`;
  await source.prepare(start + 122_000);
  expect([...source.current().values()].flat()).toHaveLength(2);
});

it('refuses such a certificate at the start', () => {
  expect(() => new AuthoritySource([costly.cert], 'authorities', () => undefined)).toThrow(/authorities/);
});
