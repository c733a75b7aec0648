/**
 * Where a fleet keeps its revocations: `redisLog(client)`, or what does the same over anything
 * else.
 */
export interface RevocationLog {
  /**
   * Identifies this log, with the same text in each process: entries are sealed for it, so that
   * entries of another log under the same secret are not believed. Default: entries of all such
   * logs are.
   */
  readonly id?: string;
  /**
   * Gives the log this header unless it has one, and resolves with the header that it has then. With
   * `mustReplace` the log loses the header that it had. Rejects, and leaves nothing behind, if
   * `signal` aborts.
   */
  setHeader(header: string, mustReplace: boolean, signal: AbortSignal): Promise<string>;
  /**
   * Adds an entry and resolves with its position. Entries that are older than `keepFor`
   * milliseconds may go. Rejects, and leaves nothing behind, if `signal` aborts.
   */
  append(entry: string, keepFor: number, signal: AbortSignal): Promise<string>;
  /**
   * Resolves with entries after the position `after`, or from the first one on, oldest first.
   * Waits up to `wait` milliseconds for one. Rejects, and leaves nothing behind, if `signal`
   * aborts.
   */
  read(query: RevocationLogQuery): Promise<RevocationLogPage>;
  /** Ends connections of its own that are not in use. Default: not called. */
  close?(): unknown;
}

/** What a process wants to read. */
export interface RevocationLogQuery {
  /** The position of the last entry that the process read; undefined to read from the first one on. */
  readonly after: string | undefined;
  /** Milliseconds. */
  readonly wait: number;
  readonly signal: AbortSignal;
  /**
   * An order: if true, read over a new connection, and use none of the open ones again, also not to
   * write. What the process wrote last was not in what it read, so an open connection may be to a
   * server that is not in use any more. Default false.
   */
  readonly mustReconnect?: boolean;
}

/** What a process read. */
export interface RevocationLogPage {
  /** The log's header, read after the entries; undefined where it has none. */
  readonly header: string | undefined;
  /**
   * The last position that the log ever gave, read before the entries of this page, also if its entry is
   * gone; undefined where the log has given none. It is not the position of the last entry of this
   * page: a process counts as having read the whole log once it has read up to here.
   */
  readonly lastGiven: string | undefined;
  /**
   * Whether the entry at the position `after` was still there after the entries were read; true
   * without `after`.
   */
  readonly hasPrecedingEntry: boolean;
  /** Positions are ordered as text. */
  readonly entries: readonly { readonly position: string; readonly entry: string }[];
}

export interface LogRules {
  readonly log: RevocationLog;
  /** The first secret seals, and each one opens what it sealed: so a new secret can replace an old one. */
  readonly secrets: readonly string[];
  /**
   * Seconds that an access token lives at most. The log keeps a revocation a little longer. Equal in all
   * processes.
   */
  readonly longestTokenLifetime: number;
  /** Seconds by which reading may lag. */
  readonly maxAgeWhileUnsynced: number;
}
