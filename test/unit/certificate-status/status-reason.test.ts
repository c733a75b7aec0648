// By which code an operator gets a hint: where several lists or responders say nothing, and for errors of Node.
import { expect, it } from 'vitest';
import {
  joinFaults,
  reasonAbout,
  reasonOfError,
  StatusError,
  type StatusReason,
  type StatusReasonCode,
  statusReasonCodes,
} from '../../../packages/core/src/certificate-status/status-reason.js';
import { TellableError } from '../../../packages/core/src/errors.js';

const reason = (code: StatusReasonCode): StatusReason => ({ code, why: `because of ${code}` });

it('of several reasons the code that comes first in the list counts, and all texts are joined', () => {
  for (const [at, code] of statusReasonCodes.entries()) {
    const lower = statusReasonCodes.slice(at).toReversed();
    expect(joinFaults(lower.map(reason))).toEqual({
      code,
      why: lower.map((one) => `because of ${one}`).join('; '),
    });
  }
});

it('the name of a list or a responder stands before a reason, which keeps its code', () => {
  expect(reasonAbout('the list', reason('too_large'))).toEqual({
    code: 'too_large',
    why: 'the list: because of too_large',
  });
});

it('an error has the reason that it was made with', () => {
  const given = reason('wrong_nonce');
  expect(reasonOfError(new StatusError(given))).toBe(given);
  expect(new StatusError(given).message).toBe('because of wrong_nonce');
});

it.each<[string, StatusReasonCode]>([
  ['ECONNREFUSED', 'unreachable'],
  ['EAI_AGAIN', 'unreachable'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'unreachable'],
  ['CERT_HAS_EXPIRED', 'server_not_trusted'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'server_not_trusted'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'server_not_trusted'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'server_not_trusted'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'server_not_trusted'],
  ['HPE_INVALID_CONSTANT', 'unreadable'],
])('an error of Node with the code %s: %s', (code, expected) => {
  const error = Object.assign(new Error('words of another package'), { code });
  expect(reasonOfError(error)).toEqual({ code: expected, why: `Error ${code}` });
});

it('the words of an error choose no code', () => {
  expect(reasonOfError(new Error('ECONNREFUSED, its answer has expired'))).toEqual({
    code: 'unreadable',
    why: 'Error',
  });
  const why = 'its answer has expired';
  expect(reasonOfError(new TellableError(why))).toEqual({ code: 'unreadable', why });
});
