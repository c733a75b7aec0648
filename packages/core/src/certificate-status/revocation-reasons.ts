/** The bits 1 to 8 of ReasonFlags (RFC 5280 §4.2.1.13): bit 0 is unused. */
export const ALL_REASONS = 0b1_1111_1110;

/** The reasons of CRLReason by their number (RFC 5280 §5.3.1). 7 is not used. */
const names: readonly (string | undefined)[] = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  undefined,
  'removeFromCRL',
  'privilegeWithdrawn',
  'aACompromise',
];

/** The name of a reason. */
export function reasonName(code: number): string {
  return names[code] ?? 'unspecified';
}

/**
 * Reads the content of ReasonFlags, a bit string. `undefined` for what is none. Bit 0 of the string
 * is the highest of its first byte, and the lowest of the result.
 */
export function readReasons(content: Uint8Array): number | undefined {
  const unused = content[0] ?? 8;
  if (unused > 7 || content.length < 2) {
    return undefined;
  }
  const count = (content.length - 1) * 8 - unused;
  let reasons = 0;
  for (let bit = 1; bit <= 8 && bit < count; bit += 1) {
    const byte = content[1 + (bit >> 3)] ?? 0;
    reasons |= ((byte >> (7 - (bit & 7))) & 1) << bit;
  }
  return reasons;
}
