// Tokens that this process does not know, while the tier that processes share does.
import { runComparison } from './harness/comparison.js';
import { headersFromNginx } from './harness/stage.js';

const floor = 'the floor of a shared tier';
const ours = 'express-mtls with a shared tier';

await runComparison({
  scenario: 'shared-tier',
  framework: 'Express',
  contestants: [floor, ours, 'https.request'],
  load: ({ cast }) => ({
    headers: headersFromNginx(cast.clients, (client) => client.opaqueTokens),
    connections: 32,
  }),
  ratios: [
    [ours, floor, { max: 1.5 }],
    [ours, 'https.request', { max: 0.75 }],
  ],
});
