import { isTellable, type Reason, TellableError } from '../errors.js';
import { describeError, describeErrorCode } from '../shared/shown-error.js';

/**
 * Why the status of a certificate can't be found out. If there are several reasons for one certificate, the
 * code that comes first in this list counts.
 */
export const statusReasonCodes = [
  'origin_not_permitted',
  'not_published',
  'form_not_supported',
  'too_large',
  'wrong_time',
  'outdated',
  'wrong_signer',
  'wrong_nonce',
  'unknown_to_responder',
  'server_not_trusted',
  'unreachable',
  'unreadable',
] as const;

/** One of `statusReasonCodes`. */
export type StatusReasonCode = (typeof statusReasonCodes)[number];

/** Why the status of a certificate is unknown: a code to decide by, and the text for the operator. */
export type StatusReason = Reason<StatusReasonCode>;

/** The server answered 304 to a request without ETag. */
export const unexpected304: StatusReason = { code: 'unreachable', why: 'status 304' };

/** The error of a request that gave no list and no answer. */
export class StatusError extends TellableError {
  readonly reason: StatusReason;

  constructor(reason: StatusReason) {
    super(reason.why);
    this.reason = reason;
  }
}

/** Returns the reason that an error was made with; for another error, what its code says of the server. */
export function reasonOfError(error: unknown): StatusReason {
  return error instanceof StatusError
    ? error.reason
    : { code: codeOf(error), why: isTellable(error) ? error.message : describeError(error) };
}

/** Codes of a certificate that does not verify, by Node's TLS. */
const ofCertificate = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_)/;

function codeOf(error: unknown): StatusReasonCode {
  const code = describeErrorCode(error) ?? '';
  if (ofCertificate.test(code)) {
    return 'server_not_trusted';
  }
  // Codes of the system, of name resolution and of TLS begin with E. Those of an answer that is no HTTP begin
  // with HPE.
  return code.startsWith('E') ? 'unreachable' : 'unreadable';
}

/** Returns a reason whose text names the list or responder that it is about. */
export function reasonAbout(shown: string, { code, why }: StatusReason): StatusReason {
  return { code, why: `${shown}: ${why}` };
}

/** Joins the reasons of several lists or responders. Takes at least one. */
export function joinFaults(faults: readonly StatusReason[]): StatusReason {
  const code = statusReasonCodes.find((one) => faults.some((fault) => fault.code === one));
  return { code: code ?? 'unreadable', why: faults.map(({ why }) => why).join('; ') };
}
