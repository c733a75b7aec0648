import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const source = (name: string, entry = 'index'): string => path(`packages/${name}/src/${entry}.ts`);

export default defineConfig({
  resolve: {
    // The sources, so that a test sees what a reader sees; what is built and packed has tests of its own.
    alias: {
      '@mtls-bound/core/application-exports': source('core', 'application-exports'),
      '@mtls-bound/core/testing': source('core', 'testing/index'),
      '@mtls-bound/core/opentelemetry': source('core', 'observe/opentelemetry'),
      '@mtls-bound/core': source('core'),
      'express-mtls/testing': source('express-mtls', 'testing'),
      'express-mtls/opentelemetry': source('express-mtls', 'opentelemetry'),
      'express-mtls': source('express-mtls'),
      'koa-mtls/testing': source('koa-mtls', 'testing'),
      'koa-mtls/opentelemetry': source('koa-mtls', 'opentelemetry'),
      'koa-mtls': source('koa-mtls'),
    },
  },
  test: {
    projects: [
      // The core alone, in memory. Its files share a process: starting one for each would take most of the time.
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          setupFiles: [path('test/support/no-sockets.ts'), path('test/support/timers-of-a-file.ts')],
          isolate: false,
        },
      },
      // The adapters, real servers and programs, and what waits in real time.
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          // Other people's programs on a busy machine: one more attempt where all of them have to run, listed by name.
          retry: process.env.REQUIRE_REAL === '1' ? 1 : 0,
        },
      },
      // The pages: links, code blocks, generated tables.
      { extends: true, test: { name: 'docs', include: ['test/docs/**/*.test.ts'] } },
    ],
    globalSetup: path('test/support/shared-keys.ts'),
    // Two at least: many tests wait for a program.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What a passing test says on the console is noise; a failing one's is shown.
    silent: 'passed-only',
    execArgv: ['--no-warnings'],
    reporters: [
      'default',
      path('test/support/named-tests-reporter.ts'),
      ...(process.env.TEST_REPORT
        ? [['json', { outputFile: process.env.TEST_REPORT }] as [string, Record<string, unknown>]]
        : []),
    ],
  },
});
