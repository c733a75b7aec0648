import { couldMatch } from '../revocation/revocation-kinds.js';
import { readOwnMember } from '../shared/own-member.js';

/** What a subject identifier of a signal revokes: `value` is that of `revoke()`'s member `kind`. */
export interface SignalRevocation {
  readonly kind: 'subject' | 'clientId' | 'session' | 'jti' | 'thumbprint';
  readonly value: string;
  readonly issuer: string;
}

/** Whose tokens a subject identifier can mean. */
export interface SubjectScope {
  /** The issuer of identifiers that name none. */
  readonly issuer: string;
  /**
   * The issuers whose tokens the transmitter may revoke. An identifier that names another one
   * revokes nothing.
   */
  readonly issuers: readonly string[];
}

/** What a subject identifier revokes, and whether a part of it revokes nothing. */
export interface MappedSubject {
  readonly revocations: readonly SignalRevocation[];
  readonly isComplete: boolean;
}

const nothing: MappedSubject = Object.freeze({ revocations: [], isComplete: false });

/** What an `opaque` identifier names in its place. */
type OpaqueKind = 'subject' | 'session' | 'clientId';

/** Identifiers in one `aliases`, of which each costs a revocation. */
const MAX_ALIASES = 20;

/**
 * Returns what a subject identifier revokes (RFC 9493, and the complex subjects of SSF 1.0 §3.3).
 * Of a complex subject `user` and `session` count each on its own, as an access token does not have
 * to name its session. `application` counts where neither of them is there, as it would else revoke
 * the tokens of each user of the application.
 */
export function revocationsOf(subject: unknown, scope: SubjectScope): MappedSubject {
  if (!isObject(subject)) {
    return nothing;
  }
  const format = readOwnMember(subject, 'format');
  return format === 'complex' || format === undefined
    ? complex(subject, scope)
    : oneOrMore(subject, 'subject', scope);
}

function complex(subject: Readonly<Record<string, unknown>>, scope: SubjectScope): MappedSubject {
  const member = (name: string, kind: OpaqueKind): MappedSubject[] =>
    Object.hasOwn(subject, name) ? [oneOrMore(readOwnMember(subject, name), kind, scope)] : [];
  const people = [...member('user', 'subject'), ...member('session', 'session')];
  return joinSubjects(people.length > 0 ? people : member('application', 'clientId'));
}

/** Aliases name simple identifiers alone (RFC 9493 §3.2.8). */
function oneOrMore(identifier: unknown, kind: OpaqueKind, scope: SubjectScope): MappedSubject {
  if (!isObject(identifier) || readOwnMember(identifier, 'format') !== 'aliases') {
    return simple(identifier, kind, scope);
  }
  const identifiers = readOwnMember(identifier, 'identifiers');
  const isList = Array.isArray(identifiers) && identifiers.length > 0 && identifiers.length <= MAX_ALIASES;
  return isList ? joinSubjects(identifiers.map((one) => simple(one, kind, scope))) : nothing;
}

function simple(identifier: unknown, kind: OpaqueKind, { issuer, issuers }: SubjectScope): MappedSubject {
  if (!isObject(identifier)) {
    return nothing;
  }
  const named = readOwnMember(identifier, 'iss');
  const isOurs = typeof named === 'string' && issuers.includes(named);
  switch (readOwnMember(identifier, 'format')) {
    case 'opaque':
      return mapSubject(kind, readOwnMember(identifier, 'id'), issuer);
    case 'iss_sub':
      return isOurs && kind === 'subject'
        ? mapSubject('subject', readOwnMember(identifier, 'sub'), named)
        : nothing;
    case 'jwt_id':
      return isOurs ? mapSubject('jti', readOwnMember(identifier, 'jti'), named) : nothing;
    case 'x5t#S256':
      return mapSubject('thumbprint', readOwnMember(identifier, 'x5t#S256'), issuer);
    default:
      return nothing;
  }
}

function mapSubject(kind: SignalRevocation['kind'], value: unknown, issuer: string): MappedSubject {
  return typeof value === 'string' && couldMatch(kind, value)
    ? { revocations: [{ kind, value, issuer }], isComplete: true }
    : nothing;
}

function joinSubjects(parts: readonly MappedSubject[]): MappedSubject {
  return {
    revocations: parts.flatMap(({ revocations }) => revocations),
    isComplete: parts.length > 0 && parts.every(({ isComplete }) => isComplete),
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
