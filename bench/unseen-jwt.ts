// JWTs of which each comes once, verified here: no cache helps, and no authorization server is asked.
import { runComparison } from './harness/comparison.js';
import { headersFromNginx } from './harness/stage.js';

const jose = 'jose jwtVerify';
const ours = 'express-mtls with JWTs';

await runComparison({
  scenario: 'unseen-jwt',
  framework: 'Express',
  contestants: [jose, ours, 'express-oauth2-jwt-bearer'],
  load({ cast }) {
    const [client] = cast.clients as [(typeof cast.clients)[number]];
    const [headers = {}] = headersFromNginx([client], ({ jwts }) => jwts);
    const signed = { privateJwk: cast.privateJwk, thumbprint: client.identity.thumbprint };
    return { headers: [headers], newTokens: { client: 0, in: 'header', signed }, connections: 32 };
  },
  ratios: [
    [ours, jose, { max: 1.25 }],
    ['express-oauth2-jwt-bearer', ours, { min: 1 }],
  ],
});
