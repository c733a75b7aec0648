/** Milliseconds by which the clocks of a fleet may differ. */
export const CLOCK_DIFFERENCE = 5_000;

/** Seconds: the most that the option `clockTolerance` accepts. */
export const MAX_CLOCK_TOLERANCE = 300;
