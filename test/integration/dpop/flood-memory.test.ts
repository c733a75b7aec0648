// Made-up proofs leave nothing behind in the process, and its clients go on meanwhile.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';

const program = fileURLToPath(new URL('../../support/dpop-flood.mjs', import.meta.url));

it.each(frameworks)(
  '%s: 30,000 made-up proofs by 200 keys leave less than 2 MB behind, and refuse no client',
  async (framework) => {
    const child = spawn(process.execPath, ['--no-warnings', '--expose-gc', program, framework, '30000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [written, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    expect(code).toBe(0);
    const { grown, answers } = JSON.parse(written) as { grown: number; answers: object };
    // A fifth of them before memory is measured for the first time.
    expect(answers).toEqual({ 'forgery refused': 36_000, 'client accepted': 720 });
    expect(grown).toBeLessThan(2_000_000);
  },
  180_000,
);
