// Of an error that this library did not make, a log gets the name and the code alone, and these only where they are known ones.

import { describe, expect, it } from 'vitest';
import { ConfigurationError, TellableError, toRefusal } from '../../../packages/core/src/errors.js';
import { describeError, describeErrorCode } from '../../../packages/core/src/shared/shown-error.js';

const secret = 'hunter2-3141592653';
const error = (members: object): unknown => Object.assign(new Error(secret), members);

describe('the name and the code of an error', () => {
  it.each<[string, unknown, string]>([
    ['a class of JavaScript', new TypeError(secret), 'TypeError'],
    [
      'a class of a library',
      error({ name: 'PrismaClientKnownRequestError' }),
      'PrismaClientKnownRequestError',
    ],
    ['an exception', new DOMException(secret, 'AbortError'), 'AbortError'],
    ['a secret as the name', error({ name: secret }), 'an error without a known name'],
    [
      'a secret of letters as the name',
      error({ name: 'correcthorsebattery' }),
      'an error without a known name',
    ],
    ['a token before the word Error', error({ name: 'kR7vQ2xWError' }), 'an error without a known name'],
    ['a code of the system', error({ code: 'ECONNREFUSED' }), 'Error ECONNREFUSED'],
    ['a code of Node', error({ code: 'ERR_MODULE_NOT_FOUND' }), 'Error ERR_MODULE_NOT_FOUND'],
    [
      'a code of OpenSSL',
      error({ code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' }),
      'Error ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    ],
    [
      'a certificate that is not known',
      error({ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }),
      'Error UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
    ['a secret of capitals as the code', error({ code: 'JBSWY3DPEHPK3PXP' }), 'Error'],
    ['a key id as the code', error({ code: 'AKIAIOSFODNN7EXAMPLE' }), 'Error'],
    ['a secret behind the first word of a code', error({ code: 'ERR_31415926535897' }), 'Error'],
    ['a secret in small letters as the code', error({ code: 'correct_horse' }), 'Error'],
    ['a text', secret, 'something that is no Error'],
  ])('%s', (_title, given, shown) => {
    expect(describeError(given)).toBe(shown);
  });

  it('each code of a certificate that TLS refuses is known', () => {
    const codes = [
      'CERT_HAS_EXPIRED',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'ERR_TLS_CERT_ALTNAME_INVALID',
    ];
    expect(codes.map((code) => describeErrorCode({ code }))).toEqual(codes);
  });
});

describe('the detail of a refusal', () => {
  it.each<[string, unknown, string]>([
    ['an error of a user’s function', new RangeError(secret), 'RangeError was thrown'],
    ['a text', secret, 'something that is no Error was thrown'],
    [
      'an object that looks like an error',
      { name: secret, message: secret },
      'an error without a known name was thrown',
    ],
    [
      'an error of this library',
      new TellableError('the option x returned a promise'),
      'TypeError: the option x returned a promise',
    ],
    [
      'a wrong option',
      new ConfigurationError('guard()', 'put guard(policy) there'),
      'ConfigurationError: guard(): put guard(policy) there',
    ],
    [
      'what only inherits from an error of this library',
      Object.create(new TellableError(secret)),
      'TypeError was thrown',
    ],
  ])('%s', (_title, thrown, detail) => {
    expect(toRefusal(thrown)).toMatchObject({ code: 'internal_error', status: 503, detail });
    expect(toRefusal(thrown).message).not.toContain(secret);
  });
});
