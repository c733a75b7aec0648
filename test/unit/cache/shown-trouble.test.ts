import { describe, expect, it } from 'vitest';
import { TellableError } from '../../../packages/core/src/errors.js';
import { describeStoreError } from '../../../packages/core/src/shared/store-error.js';

class SocketClosedError extends Error {}

function causeOfItself(): Error {
  const error = new Error('secret-31415');
  error.cause = error;
  return error;
}

describe('what an operator is told of the error of a store', () => {
  it.each([
    [new TellableError('no answer within 2 s'), 'no answer within 2 s'],
    [new Error('NOAUTH Authentication required'), 'NOAUTH'],
    [
      new Error("NOPERM User api has no permissions to run the 'xadd' command"),
      "NOPERM no permissions to run the 'xadd' command",
    ],
    [
      new Error(
        'ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `secret-31415`',
      ),
      'ERR',
    ],
    [new Error('connect to redis://user:secret-31415@redis.example.com failed'), 'Error'],
    [Object.assign(new Error('secret-31415'), { code: 'ECONNRESET' }), 'Error ECONNRESET'],
    [new Error('HUNTERTWO is wrong'), 'Error'],
    [new Error('ECONNREFUSED'), 'ECONNREFUSED'],
    [new SocketClosedError('redis://user:secret-31415@redis.example.com'), 'SocketClosedError'],
    [new Error('secret-31415', { cause: new Error('WRONGPASS invalid password') }), 'WRONGPASS'],
    [
      new AggregateError([
        new Error('no'),
        Object.assign(new Error('secret-31415'), { code: 'ECONNREFUSED' }),
      ]),
      'Error ECONNREFUSED',
    ],
    [causeOfItself(), 'Error'],
    [undefined, 'something that is no Error'],
    [null, 'something that is no Error'],
  ])('%#', (error, told) => {
    expect(describeStoreError(error)).toBe(told);
  });
});
