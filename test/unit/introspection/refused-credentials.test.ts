import {
  type ClientAuthentication,
  clientSecretBasic,
  clientSecretPost,
  createResourceServer,
  type ProblemEvent,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { expect, it, vi } from 'vitest';
import { optionsOver, outcomeOf, pretendServer, requestWith } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

it.each<[string, boolean, ClientAuthentication]>([
  ['client_secret_basic', true, clientSecretBasic('a-secret')],
  ['client_secret_post', false, clientSecretPost('a-secret')],
])(
  'credentials by %s are refused: whether the problem names clientSecretPost(): %s',
  async (_method, names, clientAuthentication) => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const kit = await createTestKit();
    const server = pretendServer(async () => new Response('', { status: 401 }));
    const { clientSecret: _replaced, ...options } = optionsOver(server, kit.certificate);
    const resourceServer = createResourceServer({ ...options, clientAuthentication });
    expect(await outcomeOf(() => resourceServer.authorize(requestWith('token')))).toBe(
      'authorization_server_refused_credentials',
    );
    expect(problems.map(({ code }) => code)).toEqual(['authorization_server_refused_credentials']);
    expect(problems[0]?.message.includes('clientSecretPost()')).toBe(names);
    await resourceServer.close();
  },
);
