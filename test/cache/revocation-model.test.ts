import { afterAll, beforeAll, expect, it } from 'vitest';
import { clocks, World } from '../support/revocation-world.js';

/** Random histories; a million by `HISTORIES=1000000 npx vitest run test/cache/revocation-model.test.ts`. */
const histories = Number(process.env.HISTORIES ?? 5_000);
const STEPS = 30;

const real = { performance: performance.now, date: Date.now };
beforeAll(() => {
  // Not by a spy: it would remember each of so many calls.
  performance.now = () => clocks.monotonic;
  Date.now = () => clocks.wall;
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

it.each(['log', 'alone'] as const)(
  '%s: no revoked token is used in any of many random histories, and no good one is refused',
  async (from) => {
    for (let seed = 1; seed <= histories; seed += 1) {
      if (seed % 500 === 0) {
        // Memory that timers hold goes with them.
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      const world = new World(randomFrom(seed), from);
      for (let step = 0; step < STEPS; step += 1) {
        const wrong = world.step();
        if (wrong !== undefined) {
          expect.unreachable(`seed ${seed}: ${wrong}\n${world.history.join('\n')}`);
        }
      }
    }
  },
  3_600_000,
);
