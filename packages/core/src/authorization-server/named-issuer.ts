/**
 * The `iss` that a JWT claims, not verified: good to choose whom to ask, and for nothing else.
 * Undefined for a token that is no JWT or names no issuer.
 */
export function issuerNamedIn(token: string): string | undefined {
  const [, payload, signature, more] = token.split('.', 4);
  if (payload === undefined || signature === undefined || more !== undefined) {
    return undefined;
  }
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const isNamed =
      typeof claims === 'object' &&
      claims !== null &&
      Object.hasOwn(claims, 'iss') &&
      typeof (claims as { iss: unknown }).iss === 'string';
    return isNamed ? (claims as { iss: string }).iss : undefined;
  } catch {
    return undefined;
  }
}
