// The real parts: oidc-provider binds tokens to keys (that one is bound to a certificate too, the test adds), and
// openid-client gets and uses them.
import { Agent } from 'node:https';
import { jwtAccessTokens, type RefusedEvent, type ResourceServerOptions } from '@mtls-bound/core';
import fetch from 'node-fetch';
import * as openid from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import {
  audience,
  jwtAudience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { dpopClient } from '../../support/dpop-client.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
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

function fetchBy(identity?: Identity): openid.CustomFetch {
  const agent = new Agent({ ca: pki.ca.cert, cert: identity?.cert, key: identity?.key });
  return async (url, { method, headers, body }) => {
    const answer = await fetch(url, { method, headers, body: (body ?? null) as string | null, agent });
    return new Response(await answer.arrayBuffer(), { status: answer.status, headers: [...answer.headers] });
  };
}

const kinds = ['opaque', 'JWT'] as const;

describe.each(frameworks.flatMap((framework) => kinds.map((kind) => ({ framework, kind }))))(
  '$framework, $kind tokens',
  ({ framework, kind }) => {
    let api: TestApi;
    let demanding: TestApi;
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
      demanding = await startApi(framework, pki, {
        ...options,
        dpop: { origin, nonce: { secret: 'n'.repeat(32) } },
      });
    });
    afterAll(() => Promise.all([api?.close(), demanding?.close()]));

    async function send(token: string, proof: string, identity?: Identity) {
      const answer = await fetchBy(identity)(api.url, {
        method: 'GET',
        headers: { authorization: `DPoP ${token}`, dpop: proof },
        body: undefined,
        redirect: 'manual',
      } as never);
      return answer.status === 200 ? '200' : `${answer.status} ${refused.at(-1)?.refusal.code}`;
    }

    it('a token that is bound to both: of four combinations one gets in', async () => {
      const key = dpopClient();
      const other = dpopClient();
      const claims = { htm: 'POST', htu: `${server.issuer}/token`, ath: undefined };
      const proof = key.proof('', { claims });
      const token = await server.token({ ...testClients(pki).both, resource, proof });
      const { alice, bob } = pki;
      expect([
        await send(token, key.proof(token), alice),
        await send(token, key.proof(token), bob),
        await send(token, other.proof(token), alice),
        await send(token, other.proof(token), bob),
      ]).toEqual(['200', '401 certificate_mismatch', '401 dpop_key_mismatch', '401 certificate_mismatch']);
      // Neither proof alone.
      expect(await send(token, key.proof(token))).toBe('401 certificate_missing');
      const underBearer = await fetchBy(alice)(api.url, {
        method: 'GET',
        headers: { authorization: `Bearer ${token}` },
      } as never);
      expect(underBearer.status).toBe(401);
    });

    it.each([
      ['without nonces', () => api],
      ['with nonces: it repeats its first request by itself', () => demanding],
    ])('openid-client, %s', async (_, target) => {
      const config = await openid.discovery(
        new URL(server.issuer),
        'phone',
        undefined,
        openid.ClientSecretPost('the-secret-of-the-phone'),
        { [openid.customFetch]: fetchBy(), algorithm: 'oauth2' },
      );
      // The API listens on another port than that of its public origin.
      const toApi: openid.CustomFetch = (url, options) =>
        fetchBy()(url.startsWith(origin) ? `${target().url}${new URL(url).pathname}` : url, options);
      config[openid.customFetch] = toApi;
      const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'));
      const { access_token: token, token_type: type } = await openid.clientCredentialsGrant(
        config,
        { scope: 'accounts:read', resource },
        { DPoP },
      );
      expect(type.toLowerCase()).toBe('dpop');
      const ask = async (by = DPoP) =>
        openid.fetchProtectedResource(config, token, new URL(`${origin}/`), 'GET', undefined, undefined, {
          DPoP: by,
        });
      for (let i = 0; i < 2; i += 1) {
        const answer = await ask();
        expect(answer.status).toBe(200);
        expect(await answer.json()).toMatchObject({
          clientId: 'phone',
          isBound: true,
          keyThumbprint: await DPoP.calculateThumbprint(),
        });
      }
      const stranger = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'));
      await expect(ask(stranger)).rejects.toThrow();
      expect(refused.at(-1)?.refusal.code).toBe('dpop_key_mismatch');
    });
  },
);
