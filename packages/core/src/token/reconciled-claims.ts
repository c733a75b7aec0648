import { claimOf, type TokenAnswer, type TokenClaims } from './token-claims.js';
import { createTokenRejection, describeNames } from './token-rejection.js';

/**
 * Reconciles what a token that was verified here says with what the authorization server answers about
 * it. What one of the two leaves out the other says. Where both say it, the stricter one counts:
 * the earlier end, the later beginning, the scopes, audiences and certificate that both name. Of
 * other claims the server's count, as they are newer. Two that name another token or subject are a
 * rejection. Two thumbprints that differ are both in `cnf`, which the check of the binding refuses.
 */
export function reconcileClaims(own: TokenClaims, answer: TokenAnswer): TokenAnswer {
  if (typeof answer === 'string') {
    return answer;
  }
  const differing = firstDifference(own, answer);
  if (differing !== undefined) {
    return createTokenRejection(
      'token_inactive',
      `the authorization server answered with another ${differing} than that of the token`,
    );
  }
  const audience = inBoth(own.audience, answer.audience);
  if (audience?.length === 0 && own.audience?.length !== 0) {
    const [ofToken, ofAnswer] = [describeNames(own.audience), describeNames(answer.audience)];
    return createTokenRejection(
      'token_wrong_audience',
      `the token names ${ofToken}, the server's answer ${ofAnswer}`,
    );
  }
  const agreed = {
    subject: own.subject ?? answer.subject,
    clientId: own.clientId ?? answer.clientId,
    scopes: inBoth(scopesOf(own), scopesOf(answer)) ?? [],
    issuer: own.issuer,
    audience,
    tokenType: own.tokenType ?? answer.tokenType,
    expiresAt: least(own.expiresAt, answer.expiresAt),
    notBefore: greatest(own.notBefore, answer.notBefore),
    issuedAt: greatest(own.issuedAt, answer.issuedAt),
    confirmation: joinConfirmations(own.confirmation, answer.confirmation),
  };
  return Object.freeze({ ...agreed, claims: claimsOf(own, answer, agreed) });
}

/** Names what says whose token it is, and differs. */
function firstDifference(own: TokenClaims, answer: TokenClaims): string | undefined {
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['issuer', own.issuer, answer.issuer],
    ['sub', own.subject, answer.subject],
    ['client_id', own.clientId, answer.clientId],
    ['token_type', own.tokenType?.toLowerCase(), answer.tokenType?.toLowerCase()],
    ...['iss', 'jti', 'sid'].map(
      (name) => [name, claimOf(own.claims, name), claimOf(answer.claims, name)] as const,
    ),
  ];
  return pairs.find(([, one, other]) => one !== undefined && other !== undefined && one !== other)?.[0];
}

/** Returns the claims of both, with those that the stricter one decides. */
function claimsOf(
  own: TokenClaims,
  answer: TokenClaims,
  agreed: Omit<TokenClaims, 'claims'>,
): Readonly<Record<string, unknown>> {
  const said = [own, answer].flatMap(({ claims }) => Object.entries(claims));
  const strict: Readonly<Record<string, unknown>> = {
    scope: agreed.scopes.join(' '),
    aud: agreed.audience,
    exp: agreed.expiresAt,
    nbf: agreed.notBefore,
    iat: agreed.issuedAt,
    cnf: agreed.confirmation,
  };
  const claims = new Map(said.filter(([, value]) => value !== null));
  for (const [name, value] of Object.entries(strict)) {
    if (claims.has(name)) {
      claims.set(name, value);
    }
  }
  return Object.freeze(Object.fromEntries(claims));
}

function scopesOf({ scopes, claims }: TokenClaims): readonly string[] | undefined {
  return scopes.length > 0 || claimOf(claims, 'scope') !== undefined ? scopes : undefined;
}

function inBoth(
  one: readonly string[] | undefined,
  other: readonly string[] | undefined,
): readonly string[] | undefined {
  if (one === undefined || other === undefined) {
    return one ?? other;
  }
  return Object.freeze(one.filter((name) => other.includes(name)));
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
}

function greatest(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}

/**
 * Returns a confirmation with the methods of both. One that is no object is returned as it is, and
 * is refused as such.
 */
export function joinConfirmations(own: unknown, answer: unknown): unknown {
  if (own === undefined || answer === undefined) {
    return own === undefined ? answer : own;
  }
  if (!isConfirmation(own) || !isConfirmation(answer)) {
    return isConfirmation(own) ? answer : own;
  }
  let both: object = { ...answer, ...own };
  for (const member of ['x5t#S256', 'jkt'] as const) {
    const [one, other] = [claimOf(own, member), claimOf(answer, member)];
    if (one !== undefined && other !== undefined && one !== other) {
      both = withBothThumbprints(both, one, other, member);
    }
  }
  return Object.freeze(both);
}

/**
 * Returns a `cnf` with two thumbprints in place of one: the check of the binding refuses it, and
 * `binding: 'report'` reports it.
 *
 * @param member whose thumbprints they are: of certificates, or of keys
 */
export function withBothThumbprints(
  confirmation: object,
  one: unknown,
  other: unknown,
  member: 'x5t#S256' | 'jkt' = 'x5t#S256',
): object {
  return { ...confirmation, [member]: Object.freeze([one ?? null, other]) };
}

/** Whether a `cnf` is an object, as RFC 7800 §3.1 has it. */
export function isConfirmation(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
