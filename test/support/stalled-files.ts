import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { vi } from 'vitest';
import { deferred } from './deferred.js';

interface StalledFiles {
  /** How many calls wait. */
  waiting(): number;
  /** Lets the calls go on that wait. Later ones do not wait. */
  release(): void;
  [Symbol.dispose](): void;
}

/** From now on `readFile` and `stat` do not answer, as if a network file system were away. */
export function stallFiles(): StalledFiles {
  const end = deferred();
  const { readFile, stat } = promises;
  let waiting = 0;
  const wait = async (): Promise<void> => {
    waiting += 1;
    await end.promise;
    waiting -= 1;
  };
  const spies = [
    vi.spyOn(promises, 'readFile').mockImplementation((async (...args: Parameters<typeof readFile>) => {
      await wait();
      return readFile(...args);
    }) as typeof readFile),
    vi.spyOn(promises, 'stat').mockImplementation((async (...args: Parameters<typeof stat>) => {
      await wait();
      return stat(...args);
    }) as typeof stat),
  ];
  syncBuiltinESMExports();
  const release = (): void => {
    for (const spy of spies) {
      spy.mockRestore();
    }
    syncBuiltinESMExports();
    end.resolve();
  };
  return { waiting: () => waiting, release, [Symbol.dispose]: release };
}
