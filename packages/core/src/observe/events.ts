import { channel } from 'node:diagnostics_channel';
import type { RequestRefused } from '../errors.js';

/** Published on `mtls-bound:refused` for each request that is not let in. Holds no token and no claim. */
export interface RefusedEvent {
  readonly refusal: RequestRefused;
  /** The SHA-256 thumbprint of the presented certificate, when there was one. */
  readonly thumbprint: string | undefined;
  /** `x-fapi-interaction-id`, where `fapiHeaders()` ran. */
  readonly interactionId: string | undefined;
}

/** Published on `mtls-bound:problem` for each thing that an operator must mend. */
export interface ProblemEvent {
  /** Stable: what to filter and alert on. */
  readonly code: string;
  /** What is wrong and what to do about it. */
  readonly message: string;
}

const refused = channel('mtls-bound:refused');
const reported = channel('mtls-bound:reported');
const problem = channel('mtls-bound:problem');

export function publishRefused(event: RefusedEvent): void {
  if (refused.hasSubscribers) {
    refused.publish(event);
  }
}

/** The same for a request that is let in all the same, with `binding: 'report'`. On `mtls-bound:reported`. */
export function publishReported(event: RefusedEvent): void {
  if (reported.hasSubscribers) {
    reported.publish(event);
  }
}

/** Reports a problem: always on the channel, and the first time as a process warning, for who has no subscriber. */
export type ReportProblem = (code: string, message: string) => void;

export function problemReporter(): ReportProblem {
  const warned = new Set<string>();
  return (code, message) => {
    if (problem.hasSubscribers) {
      problem.publish({ code, message } satisfies ProblemEvent);
    }
    if (!warned.has(code)) {
      warned.add(code);
      process.emitWarning(message, { type: 'MtlsBoundWarning', code: `MTLS_BOUND_${code.toUpperCase()}` });
    }
  };
}
