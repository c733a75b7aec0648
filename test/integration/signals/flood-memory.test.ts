// What tokens that no transmitter made cost the process while they wait for keys: their text alone, and of few of them.
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { resultLineOf } from '../../support/program-result.js';

const program = fileURLToPath(new URL('../../support/push-flood.mjs', import.meta.url));

/** What the pushes are answered with by a process whose heap is 128 MB, or how it ended. */
function flooded(framework: string, unit: string, count: number): Promise<string> {
  return resultLineOf(
    ['--no-warnings', '--max-old-space-size=128', program, framework, unit, `${count}`],
    50,
  );
}

// Parsed, each of these tokens takes more than 1 MB.
it.each(frameworks)(
  '%s: of 500 forged pushes of 65 KB 100 wait for keys, the others get 503, and a heap of 128 MB is enough',
  async (framework) => {
    expect(await flooded(framework, '{"20":0}', 500)).toBe('{"400":100,"503, Retry-After: 1":400}');
  },
  60_000,
);
