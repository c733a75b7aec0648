/** How many values a property is tried with: so many, or as many times more as `FUZZ` says (`npm run fuzz`, `npm run test:unit`). */
export function runs(usual: number): { numRuns: number } {
  return { numRuns: Math.ceil(usual * Number(process.env.FUZZ ?? 1)) };
}

/** Whether mutants are tried (`npm run mutation`): what is about sheer length or number takes too long for each of them. */
export const isMutation = process.env.MUTATION === '1';
