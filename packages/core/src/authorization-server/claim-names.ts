import { createMismatch } from '../shared/option-errors.js';
import {
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  withDefault,
} from '../shared/option-group.js';
import { checkOption, type OptionRule, text } from '../shared/option-rules.js';
import { isConfirmation, withBothThumbprints } from '../token/reconciled-claims.js';
import { claimOf } from '../token/token-claims.js';
import { createTokenRejection, type TokenRejection } from '../token/token-rejection.js';

/**
 * Claims that mean the same in each JWT (RFC 7519 §4.1, RFC 7800 §3.1), and are checked as such.
 */
const fixedClaims = ['iss', 'aud', 'exp', 'nbf', 'iat', 'jti', 'cnf'];

const claimName: OptionRule<string> = {
  accepted: `the name of a claim, without blanks around it, other than ${fixedClaims.join(', ')}`,
  read: (given) => {
    const name = text.read(given);
    return name !== undefined && fixedClaims.includes(name) ? undefined : name;
  },
};

/** A claim that holds the thumbprint must hold nothing else. */
function nameOtherThan(taken: readonly string[]): OptionRule<string> {
  return {
    accepted: `${claimName.accepted} and ${[...new Set(taken)].join(', ')}`,
    read: (given) => {
      const name = claimName.read(given);
      return name !== undefined && taken.includes(name) ? undefined : name;
    },
  };
}

export const jwtClaimOptions = optionGroup({
  /**
   * The claim that holds the client id, for example `azp`, `cid` or `appid`. Default `client_id`.
   */
  clientId: withDefault(claimName, 'client_id'),
  /**
   * The claim that holds the scopes, for example `scp`: a string with blanks between them, or a
   * list of strings. A list is accepted only if you set this option, also for the name `scope`.
   * Default: `scope`, as a string.
   */
  scope: optional(claimName, { defaultInWords: '`scope`, as a string' }),
  /** The claim that holds the subject, for example `oid` or `username`. Default `sub`. */
  subject: withDefault(claimName, 'sub'),
  /**
   * The top-level claim of the token that holds the thumbprint, for a server that does not write it
   * into `cnf` (RFC 8705 §3.1). It is used as `x5t#S256` of `cnf` if a token has no `cnf`. A token
   * whose `cnf` does not have the same thumbprint is refused with `token_bound_otherwise`. Default:
   * `cnf` alone is read.
   */
  thumbprint: optional(claimName, { defaultInWords: '`cnf` alone is read' }),
});

/**
 * The names under which a server's JWT access tokens have what RFC 9068 calls `client_id`, `scope`
 * and `sub`.
 */
export interface JwtClaimNames extends OptionsOf<typeof jwtClaimOptions> {}

export const introspectionClaimOptions = optionGroup({
  /**
   * The top-level claim of the answer that holds the thumbprint, for a server that does not write
   * it into `cnf` (RFC 8705 §3.2). It is used as `x5t#S256` of `cnf` if an answer has no `cnf`. A
   * token whose `cnf` does not have the same thumbprint is refused with `token_bound_otherwise`.
   * Default: `cnf` alone is read.
   */
  thumbprint: optional(nameOtherThan(['active', 'sub', 'client_id', 'scope', 'token_type']), {
    defaultInWords: '`cnf` alone is read',
  }),
});

/** The names under which introspection answers have what RFC 8705 §3.2 has in `cnf`. */
export interface IntrospectionClaimNames extends OptionsOf<typeof introspectionClaimOptions> {}

/** How the claims of a token are read: each standard name with the token's own name for it. */
export interface ClaimMapping {
  readonly names: ReadonlyMap<string, string>;
  /** The claim with the thumbprint that `cnf` should have; undefined where `cnf` alone is read. */
  readonly thumbprint: string | undefined;
  /** Whether the scopes may be a list. */
  readonly isListAccepted: boolean;
  /** Whether nothing was configured. */
  readonly isStandard: boolean;
}

/** Reads the option `claims` of `jwtAccessTokens()`. Throws `ConfigurationError`. */
export function readClaimMapping(
  given: OptionReader<typeof jwtClaimOptions>,
  isStandard: boolean,
): ClaimMapping {
  const { clientId, scope, subject, thumbprint } = given.settings();
  const names = new Map([
    ['client_id', clientId],
    ['scope', scope ?? 'scope'],
    ['sub', subject],
  ]);
  if (new Set(names.values()).size < names.size) {
    const named = [...names.values()].join(', ');
    throw createMismatch(given.path, 'three different claims for clientId, scope and subject', named);
  }
  const taken = [...names.keys(), ...names.values()];
  return Object.freeze({
    names,
    thumbprint: thumbprint && checkOption(given.pathOf('thumbprint'), nameOtherThan(taken), thumbprint),
    isListAccepted: scope !== undefined,
    isStandard,
  });
}

/**
 * Returns the claims with the thumbprint of the claim `name` in `cnf`. Each method in a `cnf` of
 * the token's own still counts. If that `cnf` lacks this thumbprint, `withBothThumbprints()` makes one
 * that the check of the binding refuses. A value that is no thumbprint is copied too: to leave it out
 * would unbind the token.
 */
export function withThumbprint(
  claims: Readonly<Record<string, unknown>>,
  name: string | undefined,
): Readonly<Record<string, unknown>> {
  const thumbprint = name === undefined ? undefined : claimOf(claims, name);
  if (thumbprint === undefined) {
    return claims;
  }
  const confirmation = claimOf(claims, 'cnf');
  if (confirmation === undefined) {
    return { ...claims, cnf: { 'x5t#S256': thumbprint } };
  }
  if (!isConfirmation(confirmation)) {
    return claims;
  }
  const own = claimOf(confirmation, 'x5t#S256');
  return own === thumbprint ? claims : { ...claims, cnf: withBothThumbprints(confirmation, own, thumbprint) };
}

/**
 * Returns the claims with what the mapping names under the standard names, or why they can't be
 * read. What the token itself has under a standard name that the mapping replaces is left out: it
 * means something else there.
 */
export function toStandardClaims(
  claims: Readonly<Record<string, unknown>>,
  { names, isListAccepted, thumbprint }: ClaimMapping,
): Record<string, unknown> | TokenRejection {
  const standard = new Map(Object.entries(withThumbprint(claims, thumbprint)));
  for (const [name, own] of names) {
    const value = claimOf(claims, own);
    if (name === 'scope' && Array.isArray(value)) {
      const scopes = scopeText(value);
      if (!isListAccepted || scopes === undefined) {
        return createTokenRejection(
          'token_claims_malformed',
          `${own} is ${isListAccepted ? notScopes : aList}`,
        );
      }
      standard.set(name, scopes);
    } else if (own !== name) {
      if (value !== undefined && typeof value !== 'string') {
        return createTokenRejection('token_claims_malformed', `${own} is not a string`);
      }
      standard.set(name, value);
    }
  }
  return Object.fromEntries([...standard].filter(([, value]) => value !== undefined));
}

const aList = "not a string, but a list; claims: { scope: 'scope' } accepts one";
const notScopes = 'a list of something else than scopes';

/** The scopes of a list as one text; undefined if an item is not one scope (RFC 6749 §3.3). */
function scopeText(list: readonly unknown[]): string | undefined {
  const isScope = (item: unknown): boolean =>
    typeof item === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(item);
  // Not every() alone, which leaves out holes.
  return Array.from(list).every(isScope) ? list.join(' ') : undefined;
}

/**
 * Returns the claims of an introspection answer under the standard names, as far as it has the
 * token's own names.
 */
export function toStandardAnswer(
  claims: Readonly<Record<string, unknown>>,
  mapping: ClaimMapping,
): Record<string, unknown> | TokenRejection {
  const present = [...mapping.names].map(([name, own]): [string, string] => [
    name,
    claimOf(claims, own) === undefined ? name : own,
  ]);
  return toStandardClaims(claims, { ...mapping, names: new Map(present) });
}
