import {
  type RefusalCode,
  RequestRefused,
  TransmitterError,
  type TransmitterErrorCode,
  toRefusal,
} from '../errors.js';

/** The trouble that a question to a server can end in, and its code where a transmitter was asked. */
const codes = {
  authorization_server_timeout: 'transmitter_timeout',
  authorization_server_unreachable: 'transmitter_unreachable',
  authorization_server_overloaded: 'transmitter_overloaded',
  authorization_server_failed: 'transmitter_failed',
  authorization_server_invalid_answer: 'transmitter_invalid_answer',
  authorization_server_not_asked: 'transmitter_not_asked',
  authorization_server_refused_credentials: 'transmitter_refused_credentials',
  authorization_server_issuer_mismatch: 'transmitter_issuer_mismatch',
  authorization_server_unsuitable: 'transmitter_unsuitable',
} as const satisfies Partial<Record<RefusalCode, TransmitterErrorCode>>;

/**
 * Returns the trouble of a question to a transmitter under the transmitter's own code: what sends
 * requests, finds keys and authenticates calls each server an authorization server. Returns any other
 * error as it is.
 */
export function toTransmitterError(thrown: unknown): unknown {
  if (!RequestRefused.isRefusal(thrown) || !Object.hasOwn(codes, thrown.code)) {
    return thrown;
  }
  const { code, detail = 'no answer', retryAfter } = thrown;
  return new TransmitterError(codes[code as keyof typeof codes], detail, { retryAfter, cause: thrown });
}

/** Returns what a problem says of an error. Quotes no message that this library has not written. */
export function describeTransmitterError(thrown: unknown): string {
  const error = toTransmitterError(thrown);
  return TransmitterError.isTransmitterError(error) ? error.message : toRefusal(error).message;
}
