import { type RefusalCode, type RequestRefused, reasonCodeOf } from '../errors.js';
import { dpopTypeWithoutProof } from './claims-check.js';

const toleratedCodes: ReadonlySet<RefusalCode> = new Set<RefusalCode>([
  'certificate_malformed',
  'certificate_missing',
  'certificate_mismatch',
  'certificate_refused',
  'certificate_refused_401',
  'certificate_status_unknown',
  'token_unbound',
  'token_bound_otherwise',
  'dpop_scheme_missing',
  'dpop_token_unbound',
  'dpop_key_mismatch',
  'dpop_proof_missing',
  'dpop_proof_repeated',
  'dpop_proof_too_long',
  'dpop_proof_malformed',
  'dpop_proof_for_another',
  'dpop_proof_untimely',
  'dpop_signature_invalid',
  'dpop_proof_replayed',
]);

/**
 * Returns whether a refusal is about the certificate, the proof or the binding. `binding: 'report'` accepts
 * such a request, and reports the refusal.
 *
 * @param acceptsDpop whether the option `dpop` is set. Without it no request may have a token of the type
 * DPoP, with `binding: 'report'` neither
 */
export function isToleratedByReport(refusal: RequestRefused, acceptsDpop: boolean): boolean {
  return toleratedCodes.has(refusal.code) || (acceptsDpop && reasonCodeOf(refusal) === dpopTypeWithoutProof);
}
