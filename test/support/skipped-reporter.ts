import type { Reporter, TestModule } from 'vitest/node';

/** Lists every skipped test by name when all is over, so that none is forgotten. */
export default class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => [...module.children.allTests('skipped')]);
    for (const test of skipped) {
      process.stdout.write(`skipped: ${test.fullName}\n`);
    }
  }
}
