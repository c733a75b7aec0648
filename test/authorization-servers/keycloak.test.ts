import type { RefusedEvent, ResourceServerOptions } from 'express-mtls';
import { describe, expect, it } from 'vitest';
import { textOf } from '../docs/pages.js';
import { frameworks } from '../support/apis.js';
import { call } from '../support/calls.js';
import { type Keycloak, startKeycloak, startTimeout } from '../support/keycloak.js';
import { describeReal } from '../support/programs.js';
import type { IssuingClient } from '../support/real-authorization-server.js';
import { recordedEvents } from '../support/recorded-events.js';
import { testAuthorizationServer } from './table.js';

/** What differs from a request that passes. */
interface Cause {
  readonly client?: IssuingClient;
  readonly proof?: 'tls_client_auth';
  readonly options?: ResourceServerOptions;
}

const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

describeReal('kc.sh', 'Keycloak', () => {
  testAuthorizationServer({
    page: 'keycloak',
    start: startKeycloak,
    startTimeout,
    further: (world) => {
      describe.each(frameworks)('%s, what a refusal means', (framework) => {
        const byIntrospection = { heading: 'By introspection', proof: 'client_secret' } as const;

        // The causes that the page names, made on purpose.
        it.each<[string, (server: Keycloak) => Cause]>([
          ['token_inactive', ({ clients: { alice } }) => ({ client: { ...alice, resource: null } })],
          ['token_wrong_audience', () => ({ options: { audience: 'https://api.example.net' } })],
          ['token_unbound', ({ clients }) => ({ client: clients.unbound })],
          ['authorization_server_refused_credentials', () => ({ proof: 'tls_client_auth' })],
          [
            'authorization_server_issuer_mismatch',
            ({ issuer }) => ({ options: { issuer: issuer.replace('127.0.0.1', 'localhost') } }),
          ],
        ])('%s', async (code, cause) => {
          const { pki, server, startApi } = world();
          const { client = server.clients.alice, proof = 'client_secret', options } = cause(server);
          const { access_token } = await server.issue(client);
          const api = await startApi(framework, { ...byIntrospection, proof }, options);
          const { status } = await call(pki, api, '/', pki.alice).auth(access_token, { type: 'bearer' });
          await api.close();
          expect({ status, code: refused.at(-1)?.refusal.code }).toEqual({
            status: code.startsWith('token') ? 401 : 503,
            code,
          });
          expect(textOf('docs/authorization-servers/keycloak.md')).toContain(`| ${status} \`${code}\``);
        });
      });

      describe.each(frameworks)('%s, by what is set at the client in Keycloak', (framework) => {
        // What the page says of each setting. By introspection all are accepted.
        it.each([
          ['a lightweight token', 'lightweight', 'token_claims_malformed', 'token_claims_malformed'],
          ['a token with the header typ JWT', 'typJwt', 'jwt_type_not_accepted', 'jwt_type_not_accepted'],
          ['a signature by RS256', 'rs256', 'jwt_algorithm_not_accepted', 'accepted'],
          ['a signature by ES256', 'es256', 'accepted', 'accepted'],
          ['a token of a user', 'forUsers', 'token_claims_malformed', 'token_claims_malformed'],
          ['a token of a user, with a mapper for client_id', 'forUsersWithClientId', 'accepted', 'accepted'],
        ] as const)('%s', async (_title, variant, byJwt, withRs256) => {
          const { pki, server, startApi } = world();
          const client = server.variants[variant];
          const { access_token } = await (variant.startsWith('forUsers')
            ? server.issueToUser(client)
            : server.issue(client));
          const outcomeBy = async (heading: string): Promise<string | undefined> => {
            const api = await startApi(framework, { heading, proof: 'client_secret' });
            const { status, body } = await call(pki, api, '/', pki.alice).auth(access_token, {
              type: 'bearer',
            });
            await api.close();
            if (status === 200) {
              expect(body).toMatchObject({ clientId: client.clientId, isBound: true });
            }
            return status === 200 ? 'accepted' : refused.at(-1)?.refusal.code;
          };
          expect(await outcomeBy('By introspection')).toBe('accepted');
          expect(await outcomeBy('By JWT')).toBe(byJwt);
          expect(await outcomeBy('By JWT, signed by RS256')).toBe(withRs256);
        });
      });
    },
  });
});
