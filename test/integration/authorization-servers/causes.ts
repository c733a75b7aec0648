import type { RefusedEvent, ResourceServerOptions } from 'express-mtls';
import { describe, expect, it } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { type Framework, frameworks } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import type { IssuingClient, RealAuthorizationServer } from '../../support/real-authorization-server.js';
import { recordedEvents } from '../../support/recorded-events.js';
import type { World } from './table.js';

/** What differs from a request that passes by introspection. */
export interface Cause {
  readonly client?: IssuingClient;
  readonly proof?: 'tls_client_auth';
  readonly isRevoked?: boolean;
  readonly options?: ResourceServerOptions;
}

const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

/** Makes the causes that a page names on purpose, and looks the refusals up in the page. */
export function testCauses<Server extends RealAuthorizationServer>(
  page: string,
  world: () => World<Server>,
  causes: readonly [string, (server: Server) => Cause][],
): void {
  describe.each(frameworks)('%s, what a refusal means', (framework) => {
    it.each(causes)('%s', async (code, cause) => {
      const { pki, server, startApi } = world();
      const { client = server.clients.alice, proof = 'client_secret', isRevoked, options } = cause(server);
      const { access_token } = await server.issue(client);
      if (isRevoked) {
        await server.revoke(server.clients.alice, access_token);
      }
      const api = await startApi(framework, { heading: 'By introspection', proof }, options);
      const { status } = await call(pki, api, '/', pki.alice).auth(access_token, { type: 'bearer' });
      await api.close();
      expect({ status, code: refused.at(-1)?.refusal.code }).toEqual({
        status: code.startsWith('token') ? 401 : 503,
        code,
      });
      expect(textOf(`docs/reference/authorization-servers/${page}.md`)).toContain(`| ${status} \`${code}\``);
    });
  });
}

/** Returns the code of the refusal, or `accepted`, for a token of alice's with the options below a heading of the page. */
export async function outcomeBy(
  { pki, startApi }: World<RealAuthorizationServer>,
  framework: Framework,
  heading: string,
  token: string,
): Promise<Outcome> {
  const api = await startApi(framework, { heading, proof: 'client_secret' });
  const { status, body } = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
  await api.close();
  if (status !== 200) {
    return { code: refused.at(-1)?.refusal.code };
  }
  expect(body.isBound).toBe(true);
  return { code: 'accepted', clientId: body.clientId };
}

interface Outcome {
  readonly code: string | undefined;
  readonly clientId?: string;
}
