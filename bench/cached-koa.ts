// The cached path behind a proxy, in Koa, and what anyone would use instead of us.
import { runCachedPath } from './harness/cached-path.js';

await runCachedPath({
  scenario: 'cached-koa',
  framework: 'Koa',
  bare: 'bare Koa',
  ours: 'koa-mtls',
  others: {
    'jose jwtVerify': { credentials: 'jwts', goal: 2.3 },
    'hand-written': { credentials: 'opaqueTokens', goal: 3 },
  },
});
