import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SharedStore } from '../cache/shared-cache.js';
import type { Settings } from '../options/resource-server-options.js';
import { parseEntry } from '../revocation/log-entry.js';
import { ENTRY_SEAL } from '../revocation/log-seals.js';
import type { LogRules, RevocationLogPage } from '../revocation/revocation-log.js';
import { ignoreRejection } from '../shared/promises.js';
import { createSeal } from '../shared/sealing.js';
import { callStore } from '../shared/store-call.js';
import { describeStoreError } from '../shared/store-error.js';
import { type Finding, ok, problem, warning } from './finding.js';

/** Seconds for each try: longer than any request would wait. */
const PATIENCE = 3;

/** Milliseconds between two tries of the shared store. */
const RETRY_PAUSE = 100;

/** Seconds. Where processes run, the newest entry of the log is never that old. */
const LONGEST_QUIET = 60;

/**
 * Checks what processes share: the cache, the log and the channel for revocations. Never rejects.
 */
export async function checkStores({ sharedCache, revocations }: Settings): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (sharedCache !== undefined) {
    const { store } = sharedCache;
    let trouble: unknown;
    // Keyv reports a broken connection by this event, and answers as if nothing were stored.
    ignoreRejection(
      store.on?.('error', (error) => {
        trouble = error;
      }),
    );
    const read = await readBack(store);
    findings.push(
      read.value === 'here'
        ? ok('shared_store', 'the shared store keeps what it is given')
        : problem(
            'shared_store_unreachable',
            `the shared store gives nothing back: ${messageOf(trouble ?? read.error)}`,
            'check the address, the credentials and the rights of sharedCache.store; ' +
              'without it each process asks for itself',
          ),
    );
  }
  if (revocations.log !== undefined) {
    findings.push(await checkLog(revocations.log));
  }
  if (revocations.channel !== undefined) {
    const { channel } = revocations.channel;
    const nothing = (): void => undefined;
    const joined = await tryOrCapture((signal) =>
      channel.subscribe({ message: nothing, interrupted: nothing, restored: nothing }, signal),
    );
    await tryOrCapture(async () => joined.value?.());
    findings.push(
      joined.value === undefined
        ? problem(
            'revocation_channel_unreachable',
            `the channel for revocations can't be listened to: ${messageOf(joined.error)}`,
            'check the address and credentials of revocations.channel; until then answers are cached for ' +
              `${revocations.maxAgeWhileUnsynced} s only`,
          )
        : ok('revocation_channel', 'the channel for revocations can be listened to'),
    );
  }
  return findings;
}

/** Stores a value and reads it. Tries again for a while: a client of the store may still connect. */
async function readBack(store: SharedStore): Promise<Captured<unknown>> {
  const name = `mtls-doctor:${randomUUID()}`;
  const end = performance.now() + PATIENCE * 1000;
  let read: Captured<unknown>;
  do {
    read = await tryOrCapture(async () => {
      await store.set(name, 'here', 5_000);
      return store.get(name);
    });
    if (read.value === 'here') {
      break;
    }
    await sleep(RETRY_PAUSE);
  } while (performance.now() < end);
  return read;
}

/** Reads the log to its end, and looks at when its newest entry was written. */
async function checkLog({ log, secrets }: LogRules): Promise<Finding> {
  let newest: RevocationLogPage['entries'][number] | undefined;
  let count = 0;
  let end: string | undefined;
  do {
    const after = newest?.position;
    const { value: page, error } = await tryOrCapture((signal) => log.read({ after, wait: 1, signal }));
    if (page === undefined) {
      return problem(
        'revocation_log_unreachable',
        `the log of revocations can't be read: ${messageOf(error)}`,
        'check the address, the credentials and the rights of revocations.log; until then JWTs get 503',
      );
    }
    end ??= page.lastGiven;
    const last = page.entries.at(-1);
    if (last === undefined || last.position <= (after ?? '')) {
      break;
    }
    newest = last;
    count += page.entries.length;
  } while (newest.position < (end ?? ''));
  return newest === undefined
    ? ok('revocation_log', 'the log of revocations can be read; it has no entry yet')
    : newestFinding(newest.entry, count, secrets, log.id);
}

function newestFinding(
  entry: string,
  count: number,
  secrets: readonly string[],
  log: string | undefined,
): Finding {
  const place = log === undefined ? ENTRY_SEAL : `${ENTRY_SEAL} ${log}`;
  const [text] = secrets
    .map((secret) => createSeal(secret, ENTRY_SEAL).open(place, entry))
    .filter((opened) => opened !== undefined);
  const written = text === undefined ? undefined : parseEntry(text);
  if (written === undefined) {
    return problem(
      'revocation_log_not_ours',
      'the newest entry of the log of revocations was not sealed with revocations.secret',
      'give all processes the same revocations.secret, or find out what else writes there',
    );
  }
  const age = Math.max(0, Math.round((Date.now() - written.at) / 1000));
  return age > LONGEST_QUIET
    ? warning(
        'revocation_log_quiet',
        `the newest of ${count} entries of the log of revocations was written ${age} s ago`,
        'nothing if no process of the fleet runs; otherwise see whether they can write to ' +
          'Redis, and compare the clocks',
      )
    : ok(
        'revocation_log',
        `the log of revocations can be read: ${count} entries, the newest was written ${age} s ago`,
      );
}

interface Captured<T> {
  readonly value?: T;
  readonly error?: unknown;
}

async function tryOrCapture<T>(run: (signal: AbortSignal) => Promise<T>): Promise<Captured<T>> {
  try {
    return { value: await callStore(PATIENCE, run) };
  } catch (error) {
    return { error };
  }
}

function messageOf(error: unknown): string {
  return error === undefined ? 'it does not answer' : describeStoreError(error);
}
