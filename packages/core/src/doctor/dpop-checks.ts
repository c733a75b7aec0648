import type { SignatureAlgorithm } from '../jose/signature-algorithms.js';
import { readOwnMember } from '../shared/own-member.js';
import { describeClaim, describeNames } from '../token/token-rejection.js';
import { type Finding, ok, problem, warning } from './finding.js';

/**
 * Compares the algorithms of DPoP proofs that this API accepts with those that an authorization
 * server announces (RFC 9449 §5.1): a client signs its proofs for both with one key.
 *
 * @param metadata what the server says of itself
 * @param isGiven whether the metadata are those of the options, which need not be complete
 */
export function checkDpopAlgorithms(
  issuer: string,
  accepted: readonly SignatureAlgorithm[],
  metadata: Readonly<Record<string, unknown>>,
  isGiven: boolean,
): Finding[] {
  const announced = readOwnMember(metadata, 'dpop_signing_alg_values_supported');
  if (announced === undefined && isGiven) {
    return [];
  }
  if (!Array.isArray(announced) || announced.length === 0) {
    return [
      warning(
        'dpop_not_announced',
        `dpop_signing_alg_values_supported of ${issuer} is ${describeClaim(announced)} (RFC 9449 §5.1): ` +
          'it may not bind tokens to keys, though this API has the option dpop',
        'ask the operator of the authorization server to turn DPoP on, or leave out the option dpop',
      ),
    ];
  }
  const common = accepted.filter((algorithm) => announced.includes(algorithm));
  return common.length > 0
    ? [ok('dpop_algorithms', `${issuer} and this API accept DPoP proofs by ${common.join(', ')}`)]
    : [
        problem(
          'dpop_algorithms_differ',
          `${issuer} accepts DPoP proofs by ${describeNames(announced)}, this API by ${accepted.join(', ')}`,
          'name an algorithm of the authorization server in dpop.algorithms, or ask its operator to accept ' +
            'one of this API',
        ),
      ];
}
