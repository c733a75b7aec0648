/** The number of values that a property is tried with: `usual` times the environment variable `FUZZ`. */
export function runs(usual: number): { numRuns: number } {
  return { numRuns: Math.ceil(usual * Number(process.env.FUZZ ?? 1)) };
}
