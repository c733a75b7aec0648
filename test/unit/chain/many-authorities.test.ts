// National trust lists have a few hundred authorities: a set of thousands is a mistake, or an attack.
import 'reflect-metadata';
import { expect, it } from 'vitest';
import { AuthoritySource } from '../../../packages/core/src/chain/authorities.js';
import { authority } from '../../support/chains.js';

it('more than 5,000 certificates are refused', async () => {
  const { cert } = await authority('CN=Root');
  expect(() => new AuthoritySource(cert.repeat(5_001), 'authorities', () => undefined)).toThrow(
    'something else: 5001 certificates; accepted are 1 to 5000',
  );
});
