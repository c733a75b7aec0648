// Made-up proofs leave nothing behind in the process, and its clients go on meanwhile.
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { resultLineOf } from '../../support/program-result.js';

const program = fileURLToPath(new URL('../../support/dpop-flood.mjs', import.meta.url));

it.each(frameworks)(
  '%s: 30,000 made-up proofs by 200 keys leave less than 2 MB behind, and refuse no client',
  async (framework) => {
    const result = await resultLineOf(['--no-warnings', '--expose-gc', program, framework, '30000'], 150);
    expect(result).toMatch(/^\{/);
    const { grown, answers } = JSON.parse(result) as { grown: number; answers: object };
    // A fifth of them before memory is measured for the first time.
    expect(answers).toEqual({ 'forgery refused': 36_000, 'client accepted': 720 });
    expect(grown).toBeLessThan(2_000_000);
  },
  180_000,
);
