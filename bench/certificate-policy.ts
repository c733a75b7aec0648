// The cached path with a policy that compares the names of each certificate.
import { runComparison } from './harness/comparison.js';
import { headersFromNginx } from './harness/stage.js';

const ours = 'express-mtls';
const withNames = 'express-mtls with names';

await runComparison({
  scenario: 'certificate-policy',
  framework: 'Express',
  contestants: [ours, withNames],
  load: ({ cast }) => ({
    headers: headersFromNginx(cast.clients, (client) => client.opaqueTokens),
    connections: 32,
  }),
  ratios: [[withNames, ours, { max: 1.05 }]],
});
