import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../../examples/shared-signals/main.js', import.meta.url));

it('npm run shared-signals: a forged signal is refused, a real one revokes, and it exits with 0', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [program]);
  expect(stdout.trim().split('\n')).toEqual([
    "✓ Alice's token: 200",
    '  the API: signal refused invalid_key',
    '✓ a forged signal about Alice: 400',
    "✓ Alice's token: 200",
    '  the API: a subject revoked by a signal',
    '  the API: signal revoked',
    '✓ the signal that the session of Alice is revoked: 202',
    "✓ Alice's token: 401",
    "✓ Bob's token: 200",
  ]);
});
