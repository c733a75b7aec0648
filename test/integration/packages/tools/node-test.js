import { it } from 'node:test';
import { checkApis, checkProofs, checkTestKit } from './checks.js';

it('lets the good client in, and no other', () => checkApis());
it('runs the test kit', () => checkTestKit());
it('tests a route behind DPoP', () => checkProofs());
