import { describe, expect, it } from 'vitest';
import { checkDpopAlgorithms } from '../../../packages/core/src/doctor/dpop-checks.js';

const issuer = 'https://as.example.com';
const check = (announced: unknown, isGiven = false) => {
  const metadata = announced === undefined ? {} : { dpop_signing_alg_values_supported: announced };
  return checkDpopAlgorithms(issuer, ['PS256', 'ES256', 'EdDSA'], metadata, isGiven);
};

describe('the algorithms of DPoP proofs', () => {
  it('are good if the server announces one of them', () => {
    for (const isGiven of [false, true]) {
      expect(check(['RS256', 'ES256', 'PS256'], isGiven)).toEqual([
        {
          status: 'ok',
          code: 'dpop_algorithms',
          message: `${issuer} and this API accept DPoP proofs by PS256, ES256`,
        },
      ]);
    }
  });

  it('are a problem if the server announces others alone', () => {
    for (const isGiven of [false, true]) {
      expect(check(['RS256', 'ES384'], isGiven)).toEqual([
        {
          status: 'problem',
          code: 'dpop_algorithms_differ',
          message: `${issuer} accepts DPoP proofs by "RS256", "ES384", this API by PS256, ES256, EdDSA`,
          fix: expect.stringMatching(/^name an algorithm of the authorization server in dpop\.algorithms/),
        },
      ]);
    }
  });

  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'none'],
    ['an empty list', [], 'an empty list'],
    ['a text', 'ES256', '"ES256"'],
    ['an object', { 0: 'ES256' }, 'an object'],
  ])('are worth a warning if the server announces %s', (_, announced, shown) => {
    expect(check(announced)).toEqual([
      {
        status: 'warning',
        code: 'dpop_not_announced',
        message:
          `dpop_signing_alg_values_supported of ${issuer} is ${shown} (RFC 9449 §5.1): it may not bind ` +
          'tokens to keys, though this API has the option dpop',
        fix: expect.stringMatching(/turn DPoP on, or leave out the option dpop$/),
      },
    ]);
  });

  it('are not compared with metadata of the options that do not name any', () => {
    expect(check(undefined, true)).toEqual([]);
    expect(check([], true)).toMatchObject([{ code: 'dpop_not_announced' }]);
  });

  it('are not read from a changed Object.prototype', () => {
    Object.assign(Object.prototype, { dpop_signing_alg_values_supported: ['ES256'] });
    try {
      expect(check(undefined)).toMatchObject([{ code: 'dpop_not_announced' }]);
    } finally {
      Reflect.deleteProperty(Object.prototype, 'dpop_signing_alg_values_supported');
    }
  });
});
