import { Agent } from 'node:https';
import { type RefusedEvent, selfSignedTlsClientAuth } from 'express-mtls';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import fetch from 'node-fetch';
import { describe, expect, it } from 'vitest';
import { frameworks, type TestApi } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import type { Identity } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { springProgram, startSpring, startTimeout } from '../../support/spring.js';
import { outcomeBy, testCauses } from './causes.js';
import { testAuthorizationServer } from './table.js';

const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const asSpringWrites = 'By JWT, as Spring writes it';

describeReal(springProgram, 'Spring Authorization Server', () => {
  testAuthorizationServer({
    page: 'spring',
    start: startSpring,
    startTimeout,
    issuesOpaqueTokens: true,
    further: (world) => {
      it('its endpoints for mutual TLS are on another port', async () => {
        const { server, pki } = world();
        for (const name of ['openid-configuration', 'oauth-authorization-server']) {
          const { body } = await call(pki, { url: server.issuer }, `/.well-known/${name}`);
          const { introspection_endpoint, mtls_endpoint_aliases } = body;
          expect(new URL(introspection_endpoint).origin).toBe(server.issuer);
          expect(new URL(mtls_endpoint_aliases.introspection_endpoint).origin).not.toBe(server.issuer);
        }
      });

      it('it takes a certificate without that of its authority for a self-signed one', async () => {
        const { server, pki } = world();
        const { body } = await call(pki, { url: server.issuer }, '/.well-known/openid-configuration');
        const statusOf = async (cert: string): Promise<number> => {
          const { status } = await fetch(body.mtls_endpoint_aliases.token_endpoint, {
            method: 'POST',
            // With `ca`, OpenSSL adds the authority's certificate by itself.
            agent: new Agent({ cert, key: pki.alice.key, rejectUnauthorized: false }),
            body: new URLSearchParams({ client_id: 'alice', grant_type: 'client_credentials' }),
          });
          return status;
        };
        expect(await statusOf(pki.alice.cert)).toBe(401);
        expect(await statusOf(pki.alice.cert + pki.ca.cert)).toBe(200);
      });

      testCauses('spring', world, [
        ['token_inactive', () => ({ isRevoked: true })],
        ['token_wrong_audience', ({ clients: { alice } }) => ({ client: { ...alice, resource: null } })],
        ['token_unbound', ({ clients }) => ({ client: clients.unbound })],
        ['authorization_server_refused_credentials', () => ({ options: { clientSecret: 'another' } })],
        [
          'authorization_server_issuer_mismatch',
          ({ issuer }) => ({ options: { issuer: issuer.replace('127.0.0.1', 'localhost') } }),
        ],
      ]);

      it.each(frameworks)(
        '%s accepts tokens by introspection, with a self-signed certificate',
        async (framework) => {
          const { server, pki, startApi } = world();
          const { clients, clientsOfOpaqueTokens } = server;
          const proof = ({ cert, key }: Identity) => ({
            clientId: 'api-self-signed',
            clientAuthentication: selfSignedTlsClientAuth({ cert, key }),
          });
          const shown = {
            heading: 'By introspection, with a certificate',
            proof: 'tls_client_auth',
          } as const;
          const api = await startApi(framework, shown, proof(pki.selfSignedEc));
          const impostor = await startApi(framework, shown, proof(pki.alice));
          for (const client of [clients.alice, clientsOfOpaqueTokens.alice]) {
            const { access_token } = await server.issue(client);
            const ask = async (of: TestApi, identity: Identity): Promise<number> =>
              (await call(pki, of, '/', identity).auth(access_token, { type: 'bearer' })).status;
            expect(await ask(api, pki.alice)).toBe(200);
            expect(await ask(api, pki.bob)).toBe(401);
            expect(await ask(impostor, pki.alice)).toBe(503);
          }
          await Promise.all([api.close(), impostor.close()]);
        },
      );

      describe.each(frameworks)('%s, by what the customizer writes', (framework) => {
        // What the page says of each. By introspection all are accepted that have the audience.
        it.each([
          [
            'nothing',
            'unchanged',
            ['token_wrong_audience', 'jwt_algorithm_not_accepted', 'token_wrong_audience'],
          ],
          ['the audience', 'audience-only', ['accepted', 'jwt_algorithm_not_accepted', 'accepted']],
          ['all but ES256', 'rs256', ['accepted', 'jwt_algorithm_not_accepted', 'jwt_type_not_accepted']],
          ['all but typ', 'without-typ', ['accepted', 'jwt_type_not_accepted', 'jwt_algorithm_not_accepted']],
          [
            'all but scope as a string',
            'scope-list',
            ['accepted', 'token_claims_malformed', 'jwt_algorithm_not_accepted'],
          ],
          [
            'all but client_id',
            'without-client-id',
            ['accepted', 'token_claims_malformed', 'jwt_algorithm_not_accepted'],
          ],
        ] as const)('%s', async (_title, variant, codes) => {
          const { server } = world();
          const { access_token } = await server.issue(server.variants[variant]);
          const found: unknown[] = [];
          for (const heading of ['By introspection', 'By JWT', asSpringWrites]) {
            found.push((await outcomeBy(world(), framework, heading, access_token)).code);
          }
          expect(found).toEqual(codes);
        });
      });

      describe.each(frameworks)(`%s, ${asSpringWrites}`, (framework) => {
        const ask = async (api: TestApi, token: string, identity: Identity) => {
          const { status, body } = await call(world().pki, api, '/', identity).auth(token, {
            type: 'bearer',
          });
          return status === 200 ? body : refused.at(-1)?.refusal.code;
        };

        it('accepts a token of its client, and no other JWT of Spring', async () => {
          const { server, pki, startApi } = world();
          const api = await startApi(framework, { heading: asSpringWrites, proof: 'client_secret' });
          const client = { ...server.variants['audience-only'], scope: 'openid accounts:read' };
          const { access_token, id_token = '', refresh_token = '' } = await server.issue(client);
          expect(decodeProtectedHeader(id_token)).toEqual(decodeProtectedHeader(access_token));
          const body = await ask(api, access_token, pki.alice);
          expect(body).toMatchObject({ subject: 'carol', isBound: true });
          expect(body.scopes).toEqual(expect.arrayContaining(['openid', 'accounts:read']));
          expect(body).not.toHaveProperty('clientId');
          expect(await ask(api, access_token, pki.bob)).toBe('certificate_mismatch');
          // It has the API's audience, too: the customizer of this client does not look at the kind of a token.
          expect(decodeJwt(id_token).aud).toBe(decodeJwt(access_token).aud);
          expect(await ask(api, id_token, pki.alice)).toBe('jwt_type_not_accepted');
          expect(await ask(api, refresh_token, pki.alice)).toBe('jwt_malformed');
          await api.close();
        });
      });
    },
  });
});
