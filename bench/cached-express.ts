// The cached path behind a proxy, in Express, and what anyone would use instead of us.
import { runCachedPath } from './harness/cached-path.js';

await runCachedPath({
  scenario: 'cached-express',
  framework: 'Express',
  bare: 'bare Express',
  ours: 'express-mtls',
  others: {
    'jose jwtVerify': { credentials: 'jwts', goal: 2.3 },
    'express-oauth2-jwt-bearer': { credentials: 'jwts', goal: 3.5 },
    'hand-written': { credentials: 'opaqueTokens', goal: 3 },
  },
});
