// A token source of the user's own may return promises of any make.
import type { TokenAnswer, TokenReader } from '@mtls-bound/core';
import { expect, it } from 'vitest';
import {
  type AcceptedIssuer,
  createServerResolver,
} from '../../../packages/core/src/authorization-server/accepted-issuers.js';
import { requestWith } from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';

/** A promise with `then` alone, as the standard asks for. */
const foreign = (outcome: TokenAnswer | Error): PromiseLike<TokenAnswer> => ({
  // biome-ignore lint/suspicious/noThenProperty: a promise of another make is what is tried.
  then: (resolved, rejected) =>
    Promise.resolve(outcome)
      .then((value) => {
        if (value instanceof Error) {
          throw value;
        }
        return value;
      })
      .then(resolved, rejected),
});

function introspect(outcome: TokenAnswer | Error) {
  const read = Object.assign(async () => outcome, { introspect: () => foreign(outcome) });
  const issuers = ['https://other.example.com', issuer].map(
    (one) => ({ rules: { issuer: one }, read: read as unknown as TokenReader }) as AcceptedIssuer,
  );
  const server = createServerResolver(issuers, 'in-order')('a-token', requestWith('a-token'));
  return server.introspect?.('a-token', { issuer } as never);
}

it('in order, an introspection by such a promise is waited for', async () => {
  expect(await introspect('token_inactive')).toBe('token_inactive');
});

it('in order, its rejection is trouble of the issuer that was asked', async () => {
  const error = new Error('away');
  await expect(introspect(error)).rejects.toMatchObject({ troubles: new Map([[issuer, error]]) });
});
