import type { JsonWebKey, KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RequestRefused } from '../errors.js';
import { importPublicKey } from '../jose/public-key.js';
import { CircuitOpen } from '../shared/circuit-breaker.js';
import { MAX_NESTING, textNestsTooDeep } from '../shared/json-nesting.js';
import { isHttpsUrl } from '../shared/option-rules.js';
import { redactUrl } from '../shared/shown-url.js';
import type { Http } from './http.js';
import type { ReadServerMetadata } from './metadata.js';
import type { RequesterFacts } from './requester.js';
import { serverTrouble } from './retry-after.js';

/** Seconds for which keys are used before they are fetched again. */
const MAX_AGE = 600;

/**
 * Fetches that may follow each other at once, and the seconds after which one more is permitted.
 */
const BURST = 5;
const FETCH_INTERVAL = 1;

/**
 * Callers that wait for the metadata or for the next permitted fetch, unless a caller names fewer.
 */
const MOST_WAITING = 1_000;

/** Keys that are tried for one token. */
const MOST_CANDIDATES = 16;

/** What a JWT's header says of its key. */
export interface KeyHeader {
  readonly alg: string;
  readonly kid: string | undefined;
}

/** The keys of one answer of `jwks_uri`. */
export interface KeySet {
  /** Returns the keys that may have signed. Throws `RequestRefused` if they are too many to try. */
  candidates(header: KeyHeader): readonly KeyObject[];
  /** When its fetch began, by `performance.now()`. */
  readonly askedAt: number;
}

/** The client for whose token keys are needed. */
export interface KeysCaller {
  /** The fetch that several callers wait for is sent for the first of them for which it may be sent. */
  readonly requester?: RequesterFacts | undefined;
  /** Callers that may wait before this one. Default 1,000. */
  readonly mostWaiting?: number;
}

/**
 * The authorization server's keys (RFC 8414 §2, `jwks_uri`). Both functions reject with
 * `RequestRefused`, also if `mostWaiting` callers wait already. A caller for which the keys are
 * known does not wait.
 */
export interface RemoteKeys {
  /** Returns the known keys; fetches them if they are too old. */
  readonly current: (caller?: KeysCaller) => Promise<KeySet>;
  /**
   * Returns keys whose fetch begins after this call. All callers together cause five fetches at
   * once, then one a second at most.
   */
  readonly fetchAfresh: (caller?: KeysCaller) => Promise<KeySet>;
}

/** Returns the same keys, for which fewer callers may wait. */
export function limitWaiting(keys: RemoteKeys, mostWaiting: number): RemoteKeys {
  return {
    current: (caller) => keys.current({ ...caller, mostWaiting }),
    fetchAfresh: (caller) => keys.fetchAfresh({ ...caller, mostWaiting }),
  };
}

interface FetchedKeySet extends KeySet {
  readonly uri: string;
  readonly text: string;
  readonly fetchedAt: number;
}

/** A fetch that callers can wait for, as long as the metadata name this `jwks_uri`. */
interface OpenFetch {
  readonly uri: string;
  readonly fetching: Promise<FetchedKeySet>;
}

/** A fetch that has not begun. */
interface NextFetch extends OpenFetch {
  /** Those that wait for it. */
  readonly requesters: Requester[];
}

type Requester = RequesterFacts | undefined;

/** Finds the authorization server's keys, and fetches them again when it is asked to. */
export function createRemoteKeys(metadata: ReadServerMetadata, http: Http): RemoteKeys {
  let latest: FetchedKeySet | undefined;
  let next: NextFetch | undefined;
  let running: OpenFetch | undefined;
  let waiting = 0;
  let permits = BURST;
  let permittedAt = performance.now();

  async function waitForPermit(): Promise<void> {
    const now = performance.now();
    permits = Math.min(BURST, permits + (now - permittedAt) / 1000 / FETCH_INTERVAL) - 1;
    permittedAt = now;
    if (permits < 0) {
      await sleep(-permits * FETCH_INTERVAL * 1000);
    }
  }

  async function fetchWhenPermitted(uri: string, requesters: readonly Requester[]): Promise<FetchedKeySet> {
    await waitForPermit();
    next = next?.uri === uri ? undefined : next;
    const own = { uri, fetching: fetchKeys(uri, http, latest, requesters) };
    running = own;
    try {
      const fetched = await own.fetching;
      latest = latest === undefined || latest.askedAt < fetched.askedAt ? fetched : latest;
      return fetched;
    } finally {
      running = running === own ? undefined : running;
    }
  }

  async function join<T>(mostWaiting: number, fetching: () => Promise<T>): Promise<T> {
    if (waiting >= mostWaiting) {
      throw new RequestRefused('authorization_server_not_asked', {
        detail: `${mostWaiting} requests wait for the keys of jwks_uri`,
        retryAfter: FETCH_INTERVAL,
      });
    }
    waiting += 1;
    try {
      return await fetching();
    } finally {
      waiting -= 1;
    }
  }

  function scheduled(uri: string, requester: Requester): Promise<FetchedKeySet> {
    if (next?.uri !== uri) {
      const requesters: Requester[] = [];
      next = { uri, requesters, fetching: fetchWhenPermitted(uri, requesters) };
    }
    next.requesters.push(requester);
    return waitFor(next, requester);
  }

  async function currentUri(mostWaiting: number, requester: Requester): Promise<string> {
    const read = () => metadata(requester);
    // Where keys are known, the metadata are known too.
    return keySetUri(await (latest === undefined ? join(mostWaiting, read) : read()));
  }

  return {
    async current({ requester, mostWaiting = MOST_WAITING } = {}) {
      const uri = await currentUri(mostWaiting, requester);
      const age = latest === undefined ? Number.NaN : (Date.now() - latest.fetchedAt) / 1000;
      const isFresh = latest?.uri === uri && age >= 0 && age < MAX_AGE;
      return latest !== undefined && isFresh
        ? latest
        : join(mostWaiting, () =>
            running?.uri === uri ? waitFor(running, requester) : scheduled(uri, requester),
          );
    },
    async fetchAfresh({ requester, mostWaiting = MOST_WAITING } = {}) {
      const uri = await currentUri(mostWaiting, requester);
      return join(mostWaiting, () => scheduled(uri, requester));
    },
  };
}

async function fetchKeys(
  uri: string,
  http: Http,
  before: FetchedKeySet | undefined,
  requesters: readonly Requester[],
): Promise<FetchedKeySet> {
  const askedAt = performance.now();
  const response = await sendForOne(requesters, (requester) =>
    http(uri, {
      method: 'GET',
      headers: { accept: 'application/json, application/jwk-set+json' },
      requester,
    }),
  );
  if (response.status !== 200) {
    const detail = `${redactUrl(uri)} answered ${response.status}`;
    throw (
      serverTrouble(response, redactUrl(uri)) ?? new RequestRefused('authorization_server_failed', { detail })
    );
  }
  const text = await response.text();
  const candidates =
    before?.uri === uri && before.text === text ? before.candidates : candidatesAmong(keysIn(text));
  return { candidates, askedAt, uri, text, fetchedAt: Date.now() };
}

/** The circuit breaker is open for each client that waits: what refuses each of them. */
class RefusedForAll extends Error {
  readonly refusals: ReadonlyMap<Requester, RequestRefused>;

  constructor(refusals: ReadonlyMap<Requester, RequestRefused>) {
    super('the circuit breaker is open for each client that waits for the keys');
    this.refusals = refusals;
  }
}

/**
 * Sends a request for the first of these clients for which the circuit breaker lets it through. The failures
 * of one client must not refuse the others that wait with it. Rejects with `RefusedForAll` if there is none.
 */
async function sendForOne<T>(
  requesters: readonly Requester[],
  send: (requester: Requester) => Promise<T>,
): Promise<T> {
  const refusals = new Map<Requester, RequestRefused>();
  for (const requester of requesters) {
    try {
      return await send(requester);
    } catch (error) {
      if (!RequestRefused.isRefusal(error) || !(error.cause instanceof CircuitOpen)) {
        throw error;
      }
      refusals.set(requester, error);
    }
  }
  throw new RefusedForAll(refusals);
}

/** Waits for a fetch. A client for which it was not sent gets the refusal of its own circuit breaker. */
async function waitFor({ fetching }: OpenFetch, requester: Requester): Promise<FetchedKeySet> {
  try {
    return await fetching;
  } catch (error) {
    if (!(error instanceof RefusedForAll)) {
      throw error;
    }
    const [another] = error.refusals.values();
    throw error.refusals.get(requester) ?? another ?? error;
  }
}

/**
 * The members of a key set that may verify signatures. What is no such key does not spoil the
 * others.
 */
function keysIn(text: string): readonly JsonWebKey[] {
  if (textNestsTooDeep(text)) {
    const detail = `the key set of jwks_uri nests deeper than ${MAX_NESTING} levels`;
    throw new RequestRefused('authorization_server_invalid_answer', { detail });
  }
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    set = undefined;
  }
  const keys = isObject(set) && Object.hasOwn(set, 'keys') ? set.keys : undefined;
  if (!Array.isArray(keys)) {
    throw new RequestRefused('authorization_server_invalid_answer', { detail: 'jwks_uri gave no key set' });
  }
  return keys.filter(isObject).map(withoutNull).filter(mayVerify);
}

/** Servers write null for what they have no value for. */
function withoutNull(key: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(key).filter(([, value]) => value !== null));
}

/** RFC 7517 §4.2, §4.3. */
function mayVerify(key: Record<string, unknown>): boolean {
  const { use, key_ops: operations } = key;
  const mayByOperations =
    operations === undefined || (Array.isArray(operations) && operations.includes('verify'));
  return (use === undefined || use === 'sig') && mayByOperations;
}

const keyTypes: ReadonlyMap<string, readonly [kty: string, crv?: string]> = new Map([
  ['PS256', ['RSA']],
  ['RS256', ['RSA']],
  ['ES256', ['EC', 'P-256']],
  ['EdDSA', ['OKP', 'Ed25519']],
  ['Ed25519', ['OKP', 'Ed25519']],
]);

function fits(key: JsonWebKey, { alg, kid }: KeyHeader): boolean {
  const [kty, crv] = keyTypes.get(alg) ?? [];
  return (
    kty !== undefined &&
    key.kty === kty &&
    (crv === undefined || key.crv === crv) &&
    (key.alg === undefined || key.alg === alg) &&
    (kid === undefined || key.kid === kid)
  );
}

function candidatesAmong(keys: readonly JsonWebKey[]): KeySet['candidates'] {
  const imported = new Map<JsonWebKey, KeyObject | undefined>();
  return (header) => {
    const fitting = keys.filter((key) => fits(key, header));
    if (fitting.length > MOST_CANDIDATES) {
      throw new RequestRefused('authorization_server_unsuitable', {
        detail:
          `${fitting.length} keys of jwks_uri fit one token; at most ${MOST_CANDIDATES} are ` +
          'tried, so give each key a kid',
      });
    }
    return fitting.flatMap((key) => {
      if (!imported.has(key)) {
        imported.set(key, importPublicKey(key));
      }
      return imported.get(key) ?? [];
    });
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function keySetUri({ issuer, jwks_uri: uri }: { issuer: string; jwks_uri?: string }): string {
  if (isHttpsUrl(uri)) {
    return uri;
  }
  throw new RequestRefused('authorization_server_unsuitable', {
    detail: `the metadata of ${issuer} name no jwks_uri with https`,
  });
}
