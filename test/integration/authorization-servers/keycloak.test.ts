import { describe, expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { startKeycloak, startTimeout } from '../../support/keycloak.js';
import { describeReal } from '../../support/programs.js';
import { outcomeBy, testCauses } from './causes.js';
import { testAuthorizationServer } from './table.js';

const malformed = 'token_claims_malformed';
const typeNotAccepted = 'jwt_type_not_accepted';

describeReal('kc.sh', 'Keycloak', () => {
  testAuthorizationServer({
    page: 'keycloak',
    start: startKeycloak,
    startTimeout,
    further: (world) => {
      testCauses('keycloak', world, [
        ['token_inactive', ({ clients: { alice } }) => ({ client: { ...alice, resource: null } })],
        ['token_wrong_audience', () => ({ options: { audience: 'https://api.example.net' } })],
        ['token_unbound', ({ clients }) => ({ client: clients.unbound })],
        ['authorization_server_refused_credentials', () => ({ proof: 'tls_client_auth' })],
        [
          'authorization_server_issuer_mismatch',
          ({ issuer }) => ({ options: { issuer: issuer.replace('127.0.0.1', 'localhost') } }),
        ],
      ]);

      describe.each(frameworks)('%s, by what is set at the client in Keycloak', (framework) => {
        // What the page says of each setting. By introspection all are accepted.
        it.each([
          ['a lightweight token', 'lightweight', [malformed, malformed, 'accepted']],
          ['a token with the header typ JWT', 'typJwt', [typeNotAccepted, typeNotAccepted, 'accepted']],
          ['a signature by RS256', 'rs256', ['jwt_algorithm_not_accepted', 'accepted', 'accepted']],
          ['a signature by ES256', 'es256', ['accepted', 'accepted', 'accepted']],
          ['a token of a user', 'forUsers', [malformed, malformed, 'accepted']],
          [
            'a token of a user, with a mapper for client_id',
            'forUsersWithClientId',
            ['accepted', 'accepted', 'accepted'],
          ],
        ] as const)('%s', async (_title, variant, [byJwt, withRs256, byItself]) => {
          const { server } = world();
          const client = server.variants[variant];
          const { access_token } = await (variant.startsWith('forUsers')
            ? server.issueToUser(client)
            : server.issue(client));
          const outcome = (heading: string) => outcomeBy(world(), framework, heading, access_token);
          const expected = (code: string) =>
            code === 'accepted' ? { code, clientId: client.clientId } : { code };
          expect(await outcome('By introspection')).toEqual(expected('accepted'));
          expect(await outcome('By JWT')).toEqual(expected(byJwt));
          expect(await outcome('By JWT, signed by RS256')).toEqual(expected(withRs256));
          expect(await outcome("By JWT, with Keycloak's defaults")).toEqual(expected(byItself));
        });
      });
    },
  });
});
