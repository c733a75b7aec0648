// For runners with a global it(): Jest, vitest and mocha.
import { checkApis, checkTestKit } from './checks.js';

it('lets the good client in, and no other', () => checkApis());
it('runs the test kit', () => checkTestKit());
