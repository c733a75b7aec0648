// panva's dpop makes the proofs, oidc-provider binds the tokens to their key.
import { jwtAccessTokens, type RefusedEvent, type ResourceServerOptions } from '@mtls-bound/core';
import * as dpop from 'dpop';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import {
  audience,
  jwtAudience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let server: TestAuthorizationServer;
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

beforeAll(async () => {
  pki = await createPki();
  server = await startAuthorizationServer(pki);
});
afterAll(() => server?.stop());

/** The origin that clients know the API by. */
const origin = 'https://api.example.com';

const kinds = ['opaque', 'JWT'] as const;

describe.each(frameworks.flatMap((framework) => kinds.map((kind) => ({ framework, kind }))))(
  '$framework, $kind tokens',
  ({ framework, kind }) => {
    let api: TestApi;
    const resource = kind === 'JWT' ? jwtAudience : audience;

    beforeAll(async () => {
      const options: ResourceServerOptions = {
        issuer: server.issuer,
        audience: resource,
        http: { ca: pki.ca.cert },
        ...(kind === 'JWT'
          ? { tokens: jwtAccessTokens() }
          : { clientId: 'api', clientSecret: server.secrets.api }),
      };
      api = await startApi(framework, pki, { ...options, dpop: { origin } });
    });
    afterAll(() => api?.close());

    /** A token for a client with this key, by panva's dpop. */
    async function tokenBy(key: dpop.KeyPair): Promise<string> {
      const proof = await dpop.generateProof(key, `${server.issuer}/token`, 'POST');
      return server.token({ ...testClients(pki).phone, resource, proof });
    }

    async function send(token: string, proof: string): Promise<string> {
      const { status } = await call(pki, api, '/').set('Authorization', `DPoP ${token}`).set('DPoP', proof);
      return status === 200 ? '200' : `${status} ${refused.at(-1)?.refusal.code}`;
    }

    const proofBy = (key: dpop.KeyPair, token: string) =>
      dpop.generateProof(key, `${origin}/`, 'GET', undefined, token);

    it.each(['ES256', 'Ed25519'] as const)("panva's dpop, %s", async (algorithm) => {
      const key = await dpop.generateKeyPair(algorithm);
      const other = await dpop.generateKeyPair(algorithm);
      const token = await tokenBy(key);
      const proof = await proofBy(key, token);
      expect([
        await send(token, proof),
        await send(token, proof),
        await send(token, await proofBy(other, token)),
        await send(token, await proofBy(key, token)),
      ]).toEqual(['200', '401 dpop_proof_replayed', '401 dpop_key_mismatch', '200']);
    });
  },
);
