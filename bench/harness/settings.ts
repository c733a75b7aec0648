import { pathToFileURL } from 'node:url';

/** To see that a scenario runs, not how fast anything is: BENCH_QUICK=1. */
export const isQuick = process.env.BENCH_QUICK === '1';

/** Where records and figures go; elsewhere where BENCH_RESULTS says so. */
export const results =
  process.env.BENCH_RESULTS === undefined
    ? new URL('../results/', import.meta.url)
    : pathToFileURL(`${process.env.BENCH_RESULTS}/`);

/** Where servers and clocks leave a `.cpuprofile` each, when they are to. */
export const profiles = process.env.BENCH_PROFILE;

/** The least number of rounds, where the machine has other work: BENCH_ROUNDS. A scenario may want more. */
export const leastRounds = Number(process.env.BENCH_ROUNDS ?? 0);
