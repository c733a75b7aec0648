// Metadata that are too old, and those that could not be read again, are read again in time, also if the wall clock was
// ahead and is set back, or the machine was suspended.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createDiscovery } from '../../../packages/core/src/authorization-server/metadata.js';

const issuer = 'https://as.example.com';
const now = 1_800_000_000_000;
const hour = 3_600_000;
const maxAge = 600;

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(now);
});
afterEach(() => {
  vi.useRealTimers();
});

/** Sets the wall clock. The monotonic clock goes on. */
const setClock = (moment: number) => vi.setSystemTime(moment);

async function createReader() {
  let fails = false;
  let count = 0;
  const metadata = createDiscovery(
    { issuer, metadataMaxAge: maxAge, metadata: undefined },
    {
      http: async () => new Response(),
      timeout: 5,
      onFound: () => undefined,
      report: () => undefined,
      discover: async () => {
        count += 1;
        if (fails) {
          throw new Error('away');
        }
        return { issuer };
      },
    },
  );
  /** Uses the metadata once. Returns how often they were read until then. */
  const readings = async (): Promise<number> => {
    await metadata();
    await vi.advanceTimersByTimeAsync(0);
    return count;
  };
  await readings();
  return {
    readings,
    fail: (value: boolean) => {
      fails = value;
    },
  };
}

it.each([
  ['goes on', 0],
  ['is set back by an hour', -hour],
  ['is set back by a year', -365 * 24 * hour],
])('old metadata are read again while the wall clock %s', async (_title, step) => {
  const { readings } = await createReader();
  setClock(Date.now() + step);
  await vi.advanceTimersByTimeAsync(maxAge * 1000 - 1);
  expect(await readings()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(await readings()).toBe(2);
  expect(await readings()).toBe(2);
});

it('metadata that can not be read again are tried after a second, though the wall clock is set back', async () => {
  const { readings, fail } = await createReader();
  fail(true);
  await vi.advanceTimersByTimeAsync(maxAge * 1000);
  expect(await readings()).toBe(2);
  setClock(Date.now() - hour);
  expect(await readings()).toBe(2);
  fail(false);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await readings()).toBe(3);
});

it('metadata that got old while the machine was suspended are read again', async () => {
  const { readings } = await createReader();
  setClock(now + maxAge * 1000);
  expect(await readings()).toBe(2);
});
