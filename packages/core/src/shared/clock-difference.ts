/** Milliseconds by which the clocks of a fleet may differ. */
export const CLOCK_DIFFERENCE = 5_000;
