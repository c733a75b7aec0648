/** Milliseconds that a read waits for an entry. */
export const READ_WAIT = 1_000;

/** Milliseconds. In a fleet that runs, the newest entry is never so old. */
export const QUIET_TIME = 60_000;

/** Seconds that the store has for a command. */
export const STORE_TIMEOUT = 2;

/** Milliseconds until what failed is tried again. */
export const RETRY_INTERVAL = 1_000;

/** Milliseconds until what failed for the first time is tried again. */
export const FIRST_RETRY_INTERVAL = 100;
