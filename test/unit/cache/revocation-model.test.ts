import { afterAll, beforeAll, expect, it } from 'vitest';
import { runs } from '../../support/fuzzing.js';
import { clocks as own, World } from '../../support/revocation-world.js';

/** Random histories, of all kinds together. `npm run test:histories` plays a million. */
const histories = Number(process.env.HISTORIES ?? runs(12_000).numRuns);
const STEPS = 30;

const real = { performance: performance.now, date: Date.now };
beforeAll(() => {
  // Not by a spy: it would remember each of so many calls.
  performance.now = () => own.monotonic;
  Date.now = () => own.wall;
});
afterAll(() => {
  performance.now = real.performance;
  Date.now = real.date;
});

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const kinds = (['log', 'channel', 'alone'] as const).flatMap((from) =>
  (['within the tolerance', 'beyond the tolerance'] as const).map((clocks) => [from, clocks] as const),
);

it.each(kinds)(
  '%s, clocks %s: no revoked token is used in any of many random histories, and no good one is refused',
  async (from, clocks) => {
    for (let seed = 1; seed <= histories / kinds.length; seed += 1) {
      if (seed % 500 === 0) {
        // Memory that timers hold goes with them.
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      const world = new World(randomFrom(seed), from, clocks);
      for (let step = 0; step < STEPS; step += 1) {
        const wrong = world.step();
        if (wrong !== undefined) {
          expect.unreachable(`seed ${seed}: ${wrong}\n${world.history.join('\n')}`);
        }
      }
    }
  },
  36_000_000,
);
