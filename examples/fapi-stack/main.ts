// The whole FAPI stack on one machine, given nginx and haproxy: a load balancer that passes TCP, NGINX that ends TLS with
// FAPI's cipher suites, an authorization server and two APIs behind it, clients that go the whole way, and attackers.
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
