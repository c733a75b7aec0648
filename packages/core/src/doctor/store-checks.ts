import { randomUUID } from 'node:crypto';
import { shownError } from '../authorization-server/shown-error.js';
import { within } from '../cache/bounded-wait.js';
import type { Settings } from '../options.js';
import { type Finding, ok, problem } from './finding.js';

/** Seconds for each try: longer than any request would wait. */
const PATIENCE = 3;

/** Checks what processes share: the cache, the log and the channel for revocations. Never rejects. */
export async function checkStores({ sharedCache, revocations }: Settings): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (sharedCache !== undefined) {
    const { store } = sharedCache;
    let trouble: unknown;
    // Keyv tells of a broken connection so, and answers as if nothing were stored.
    store.on?.('error', (error) => {
      trouble ??= error;
    });
    const name = `mtls-doctor:${randomUUID()}`;
    const read = await tried(async () => {
      await store.set(name, 'here', 5_000);
      return store.get(name);
    });
    findings.push(
      read.value === 'here'
        ? ok('shared_store', 'the shared store keeps what it is given')
        : problem(
            'shared_store_unreachable',
            `the shared store gives nothing back: ${messageOf(trouble ?? read.error)}`,
            'check the address and credentials of sharedCache.store; without it each process asks for itself',
          ),
    );
  }
  if (revocations.log !== undefined) {
    const { log } = revocations.log;
    const signal = AbortSignal.timeout(PATIENCE * 1000);
    const read = await tried(() => log.read({ since: undefined, wait: 1, signal }));
    findings.push(
      read.value === undefined
        ? problem(
            'revocation_log_unreachable',
            `the log of revocations can't be read: ${messageOf(read.error)}`,
            'check the address, the credentials and the rights of revocations.log; until then JWTs get 503',
          )
        : ok('revocation_log', 'the log of revocations can be read'),
    );
  }
  if (revocations.feed !== undefined) {
    const { channel } = revocations.feed;
    const nothing = (): void => undefined;
    const joined = await tried(() =>
      channel.subscribe({ message: nothing, lost: nothing, restored: nothing }),
    );
    await tried(async () => joined.value?.());
    findings.push(
      joined.value === undefined
        ? problem(
            'revocation_channel_unreachable',
            `the channel for revocations can't be listened to: ${messageOf(joined.error)}`,
            'check the address and credentials of revocations.channel; until then answers serve 5 s only',
          )
        : ok('revocation_channel', 'the channel for revocations can be listened to'),
    );
  }
  return findings;
}

async function tried<T>(run: () => Promise<T>): Promise<{ value?: T; error?: unknown }> {
  try {
    return { value: await within(PATIENCE, run) };
  } catch (error) {
    return { error };
  }
}

function messageOf(error: unknown): string {
  return error === undefined ? 'it does not answer' : shownError(error);
}
