import { describe, expect, it } from 'vitest';
import { RequestRefused, refusalCodes, TransmitterError } from '../../../packages/core/src/errors.js';
import {
  describeTransmitterError,
  toTransmitterError,
} from '../../../packages/core/src/signals/transmitter-error.js';

const ofServers = refusalCodes.filter((code) => code.startsWith('authorization_server_'));

describe('trouble with a transmitter', () => {
  it.each(ofServers)('has a code of its own in place of %s', (code) => {
    const refusal = new RequestRefused(code, {
      detail: 'https://signals.example answered 500',
      retryAfter: 7,
    });
    const error = toTransmitterError(refusal);
    const own = code.replace('authorization_server_', 'transmitter_');
    expect(error).toMatchObject({
      name: 'TransmitterError',
      code: own,
      status: 503,
      detail: 'https://signals.example answered 500',
      retryAfter: refusal.retryAfter,
      cause: refusal,
    });
    expect(describeTransmitterError(refusal)).toBe(`${own}: https://signals.example answered 500`);
  });

  it.each<[string, unknown, string]>([
    [
      'a refusal that no server causes',
      new RequestRefused('revocation_not_spread', { detail: 'the log' }),
      'revocation_not_spread: the log',
    ],
    ['an error of another library', new Error('secret-31415'), 'internal_error: Error was thrown'],
    [
      'an object that inherits from an error of a transmitter',
      Object.create(new TransmitterError('transmitter_failed', 'secret-31415')),
      'internal_error: TransmitterError was thrown',
    ],
  ])('leaves %s as it is, and quotes nothing that is not known', (_title, thrown, expected) => {
    expect(toTransmitterError(thrown)).toBe(thrown);
    expect(describeTransmitterError(thrown)).toBe(expected);
  });
});
