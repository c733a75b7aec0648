import type { Attestation } from './entry-history.js';
import type { RevocationNotice, WrittenRevocation } from './revocations.js';

/** What one process writes into the log. */
export interface LogEntry {
  /**
   * Names the writer, and counts what it wrote: a number that is missing is an entry that was
   * deleted.
   */
  readonly writer: string;
  readonly number: number;
  /** Milliseconds since the epoch, by the writer's clock. */
  readonly at: number;
  /** The position of the entry that the writer had read last, by whichever process it was written. */
  readonly lastRead: string | undefined;
  /** The position of the entry that the writer wrote before this one; undefined for its first. */
  readonly lastOwn: string | undefined;
  /** The version of the log's header, as the writer knows it. */
  readonly version: number;
  /**
   * The writer knows all revocations since then, by its clock; undefined before it has joined, and while
   * it has not read the log to its end for 30 s.
   */
  readonly syncedSince: number | undefined;
  /** What the writer says of the entries that it has read. */
  readonly attested: Attestation | undefined;
  /** Undefined in an entry that revokes nothing. */
  readonly notice: RevocationNotice | undefined;
  /**
   * For how many milliseconds the writer knows the revocation, by its monotonic clock. 0 in an entry
   * of a version that did not write it.
   */
  readonly noticeAge: number;
  /** How many calls of `revoke()` the revocation is of. 1 in an entry of a version that did not write it. */
  readonly noticeCalls: number;
}

type AttestedMembers = readonly [
  kind: Attestation['kind'],
  by: string,
  from: string | null,
  upTo: string | null,
  since: number,
  digest: string,
];

/** The members of an entry in their order, and then those of its notice. */
type Members = readonly [
  writer: string,
  number: number,
  at: number,
  lastRead: string | null,
  lastOwn: string | null,
  version: number,
  syncedSince: number | null,
  attested: AttestedMembers | null,
  ...notice:
    | readonly [
        kind: string,
        value: string,
        issuer: string | null,
        at: number,
        id: string,
        age?: number,
        calls?: number,
      ]
    | readonly [],
];

/**
 * Returns the text of an entry: an array, which a process that starts reads in half the time of an
 * object.
 */
export function textOfEntry({ notice, noticeAge, noticeCalls, ...entry }: LogEntry): string {
  const { writer, number, at, lastRead, lastOwn, version, syncedSince, attested } = entry;
  const members: Members = [
    ...([writer, number, at, lastRead ?? null, lastOwn ?? null, version, syncedSince ?? null] as const),
    attested === undefined ? null : membersOfAttestation(attested),
    ...(notice === undefined ? ([] as const) : membersOfNotice(notice, noticeAge, noticeCalls)),
  ];
  return JSON.stringify(members);
}

function membersOfAttestation({ kind, by, from, upTo, since, digest }: Attestation): AttestedMembers {
  return [kind, by, from ?? null, upTo ?? null, since, digest];
}

function attestationOf([kind, by, from, upTo, since, digest]: AttestedMembers): Attestation {
  return { kind, by, from: from ?? undefined, upTo: upTo ?? undefined, since, digest };
}

function membersOfNotice({ revocation, at, id }: RevocationNotice, age: number, calls: number) {
  const { issuer = null, ...named } = revocation as WrittenRevocation & { readonly issuer?: string };
  const [[kind = '', value = ''] = []] = Object.entries(named) as [string, string][];
  return [kind, value, issuer, at, id, age, calls] as const;
}

/** Returns the entry of a text that `textOfEntry` made, or `undefined` for another text. */
export function parseEntry(text: string): LogEntry | undefined {
  const members = membersIn(text);
  if (members === undefined) {
    return undefined;
  }
  const [
    writer,
    number,
    at,
    lastRead,
    lastOwn,
    version,
    syncedSince,
    attested,
    kind,
    value,
    issuer,
    revokedAt,
    id,
    noticeAge = 0,
    noticeCalls = 1,
  ] = members;
  return {
    writer,
    number,
    at,
    lastRead: lastRead ?? undefined,
    lastOwn: lastOwn ?? undefined,
    version,
    syncedSince: syncedSince ?? undefined,
    attested: attested === null ? undefined : attestationOf(attested),
    notice:
      kind === undefined || value === undefined || revokedAt === undefined || id === undefined
        ? undefined
        : { revocation: revocationOf(kind, value, issuer ?? undefined), at: revokedAt, id },
    noticeAge,
    noticeCalls,
  };
}

function revocationOf(kind: string, value: string, issuer: string | undefined): WrittenRevocation {
  return (issuer === undefined
    ? { [kind]: value }
    : { [kind]: value, issuer }) as unknown as WrittenRevocation;
}

function membersIn(text: string): Members | undefined {
  try {
    const members: unknown = JSON.parse(text);
    return Array.isArray(members) ? (members as unknown as Members) : undefined;
  } catch {
    return undefined;
  }
}
