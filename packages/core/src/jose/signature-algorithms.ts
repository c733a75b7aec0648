import { createMismatch } from '../shared/option-errors.js';
import type { OptionRule } from '../shared/option-rules.js';

/** A signature algorithm of JWTs that is accepted. */
export type SignatureAlgorithm = 'PS256' | 'ES256' | 'EdDSA' | 'Ed25519' | 'RS256';

/** Those that are known. */
export const knownAlgorithms = ['PS256', 'ES256', 'EdDSA', 'Ed25519', 'RS256'] as const;

/** Those of FAPI 2.0 §5.4.1; Ed25519 is EdDSA's newer name. */
export const fapiAlgorithms: readonly SignatureAlgorithm[] = Object.freeze([
  'PS256',
  'ES256',
  'EdDSA',
  'Ed25519',
]);

export const algorithmList: OptionRule<readonly SignatureAlgorithm[]> = {
  accepted: `a list of ${knownAlgorithms.join(', ')}`,
  read: (given) =>
    Array.isArray(given) && given.length > 0 && given.every((name) => knownAlgorithms.includes(name))
      ? Object.freeze([...given])
      : undefined,
};

/** The default of an option of algorithms, as the docs write it. */
export const permittedByDefaultInWords =
  'those of FAPI 2.0 §5.4.1, all but RS256, or those of them that the `profile` permits';

/**
 * Those chosen, or by default all of FAPI's that are permitted. Throws `ConfigurationError` for a
 * chosen one that a profile does not permit.
 */
export function acceptedAlgorithms(
  option: string,
  chosen: readonly SignatureAlgorithm[] | undefined,
  permitted: readonly string[] | undefined,
): SignatureAlgorithm[] {
  const isPermitted = (name: string): boolean => permitted === undefined || permitted.includes(name);
  const other = chosen?.find((name) => !isPermitted(name));
  if (other !== undefined) {
    throw createMismatch(option, `${permitted?.join(', ')} next to a profile`, other);
  }
  return (chosen ?? fapiAlgorithms).filter(isPermitted);
}
