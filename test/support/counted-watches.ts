import { afterEach, beforeEach } from 'vitest';
import { Revocations } from '../../packages/core/src/revocation/revocations.js';

/** Counts the tokens that are watched for revocations, in each test of the file that calls it. */
export function countWatches(): () => number {
  const { watch } = Revocations.prototype;
  let watching = 0;
  beforeEach(() => {
    watching = 0;
    // Not a spy, which would hold what it was called with.
    Revocations.prototype.watch = function (this: Revocations, ...given) {
      watching += 1;
      const unwatch = watch.apply(this, given);
      return () => {
        watching -= 1;
        unwatch();
      };
    };
  });
  afterEach(() => {
    Revocations.prototype.watch = watch;
  });
  return () => watching;
}
