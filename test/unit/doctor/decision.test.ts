// What the doctor decides about claims without asking an authorization server: whatever the options say of one.
import { expect, it } from 'vitest';
import { decide } from '../../../packages/core/src/doctor/decision.js';

const audience = 'https://api.example.com';
const issuer = 'https://as.example.com';
const client = { clientId: 'api', clientSecret: 'a-secret' };

it.each([issuer, 'https://other.example.com'])(
  'accepts the maximum age of metadata that one issuer in a list discovers, for a token of %s',
  async (iss) => {
    const claims = { active: true, iss, aud: audience, exp: Math.floor(Date.now() / 1000) + 600 };
    const authorizationServerMetadata = { introspection_endpoint: `${issuer}/introspect` };
    const options = {
      audience,
      authorizationServerMetadataMaxAge: 60,
      issuers: [
        { issuer, ...client, authorizationServerMetadata },
        { issuer: 'https://other.example.com', ...client },
      ],
    };
    const findings = await decide({ claims, certificate: undefined }, options, {});
    expect(findings.map(({ code }) => code)).toEqual(['certificate_missing']);
  },
);
