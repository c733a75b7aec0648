import type { Reporter, TestModule } from 'vitest/node';

/** Lists by name every skipped test, and every test that passed at its second attempt alone, so that none is forgotten. */
export default class NamedTestsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const test of modules.flatMap((module) => [...module.children.allTests()])) {
      if (test.result().state === 'skipped') {
        process.stdout.write(`skipped: ${test.fullName}\n`);
      } else if (test.diagnostic()?.flaky === true) {
        process.stdout.write(`passed at its second attempt: ${test.fullName}\n`);
      }
    }
  }
}
