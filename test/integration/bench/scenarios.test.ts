import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));

// That they run, with a handful of requests; how fast anything is, no test can say.
it.concurrent.each([
  ...['cached-express', 'mutual-tls', 'authorize', 'uncached'],
  ...[
    'http2-koa',
    'unseen-jwt',
    'shared-tier',
    'certificate-policy',
    'dpop',
    'revocation-list',
    'certificate-chain',
  ],
])(
  '%s runs to its end',
  async (scenario) => {
    const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-bench-'));
    try {
      await run(process.execPath, ['--import', 'tsx', `bench/${scenario}.ts`], {
        cwd: root,
        env: { ...process.env, BENCH_QUICK: '1', BENCH_RESULTS: folder },
      });
      expect(readdirSync(folder).toSorted()).toEqual([`${scenario}.json`, `${scenario}.svg`]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  120_000,
);
