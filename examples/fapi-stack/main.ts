// A FAPI set-up on one machine that has nginx and haproxy: a load balancer passes TCP through, and NGINX ends TLS with
// FAPI's cipher suites. Behind it run an authorization server and two APIs. Honest clients and attackers call them.
import '../story/quiet.js';
import { printTable } from '../table.js';
import { scenes } from './scenes.js';
import { startStack } from './stack.js';

const stack = await startStack();
try {
  const outcomes = [];
  for (const scene of scenes) {
    outcomes.push(...(await scene(stack)));
  }
  process.exitCode = printTable(outcomes) ? 0 : 1;
} finally {
  await stack.end();
}
