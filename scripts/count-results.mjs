// Prints "N passed, N failed" from vitest's JSON report, and fails unless all passed and at least one test ran.
import { readFileSync } from 'node:fs';

const [, , path, failedChecks] = process.argv;
const { numPassedTests, numFailedTests, numPendingTests, success } = JSON.parse(readFileSync(path, 'utf8'));
// A suite that can't be loaded has no failed test; it must count all the same.
const failed = Math.max(numFailedTests, success ? 0 : 1) + Number(failedChecks ?? 0);
const skipped = numPendingTests > 0 ? `, ${numPendingTests} skipped` : '';
console.log(`${numPassedTests} passed, ${failed} failed${skipped}`);
process.exit(failed === 0 && numPassedTests > 0 ? 0 : 1);
