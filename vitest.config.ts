import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (name: string, entry = 'index'): string =>
  fileURLToPath(new URL(`packages/${name}/src/${entry}.ts`, import.meta.url));

export default defineConfig({
  resolve: {
    // The sources, so that a test sees what a reader sees; what is built and packed has tests of its own.
    alias: {
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
    include: ['test/**/*.test.ts'],
    globalSetup: fileURLToPath(new URL('test/support/shared-keys.ts', import.meta.url)),
    // Two at least: many tests wait for a program.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What a passing test says on the console is noise; a failing one's is shown.
    silent: 'passed-only',
    execArgv: ['--no-warnings'],
    reporters: [
      'default',
      fileURLToPath(new URL('test/support/skipped-reporter.ts', import.meta.url)),
      ...(process.env.TEST_REPORT
        ? [['json', { outputFile: process.env.TEST_REPORT }] as [string, Record<string, unknown>]]
        : []),
    ],
  },
});
