import type { ReportProblem } from '../observe/events.js';
import type { Settings } from './resource-server-options.js';

/** What the operator reads if the option `binding` is not `required`. */
const bindingsNotEnforced = {
  report:
    "binding: 'report' lets in tokens that are bound to nothing or to another certificate; it is " +
    "for a trial before 'required'",
  'when-bound':
    "binding: 'when-bound' accepts tokens that are bound to no certificate; set binding to " +
    "'required' when every client's are bound",
} as const;

const clientsIndistinct =
  'clients without certificate share one allowance of unknown tokens, as floodGuard.address names no ' +
  'address for them; set it to a function from the request to the address of the client';

const audienceNotEnforced =
  "MTLS_BOUND_AUDIENCE is 'server-enforced': tokens for other APIs are accepted unless the " +
  "authorization server refuses them; name this API's identifier, or set audience: 'server-enforced' " +
  'in code';

/**
 * Reports the settings that an operator probably did not mean, or must not forget, at start-up: an
 * audience that the environment leaves unchecked, a binding that is not enforced, and clients that share
 * one allowance. Other settings that weaken a check are written in code, and count as meant.
 */
export function reportUnsafeSettings(settings: Settings, report: ReportProblem): void {
  if (settings.isAudienceUncheckedByEnvironment) {
    report('audience_not_enforced', audienceNotEnforced);
  }
  const { binding, dpop, floodGuard } = settings;
  if (binding !== 'required') {
    report('binding_not_enforced', bindingsNotEnforced[binding]);
  }
  const mayLackCertificate = binding !== 'required' || dpop !== undefined;
  if (mayLackCertificate && floodGuard !== undefined && floodGuard.address === undefined) {
    report('clients_indistinct', clientsIndistinct);
  }
}
