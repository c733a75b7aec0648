import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Identity } from '../../test/support/pki.js';
import type { Story } from './cast.js';

/** What one scene came to. */
export interface Outcome {
  readonly title: string;
  readonly expected: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** What the client was told. */
  readonly told: string;
}

type Scene = (story: Story) => Promise<Outcome>;

interface Call {
  readonly token?: string;
  readonly identity?: Identity;
  readonly path?: string;
}

function scene(title: string, expected: number, prepare: (story: Story) => Promise<Call>): Scene {
  return async (story) => play(story, title, expected, await prepare(story));
}

async function play(story: Story, title: string, expected: number, call: Call): Promise<Outcome> {
  const statuses: Record<string, number> = {};
  let told = '';
  for (const [name, url] of Object.entries(story.apis)) {
    const answer = await send(story, url, call);
    statuses[name] = answer.status;
    told = answer.told;
  }
  return { title, expected, statuses, told };
}

function send({ pki }: Story, url: string, { token, identity, path = '/accounts' }: Call) {
  return new Promise<{ status: number; told: string }>((resolve, reject) => {
    const call = request(
      `${url}${path}`,
      {
        ca: pki.ca.cert,
        cert: identity?.cert,
        key: identity?.key,
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      },
      async (response) => {
        let body = '';
        for await (const chunk of response) {
          body += chunk;
        }
        const { error, error_description } = body === '' ? ({} as Record<string, string>) : JSON.parse(body);
        const told = error === undefined ? '' : `${error}: ${error_description}`;
        resolve({
          status: response.statusCode ?? 0,
          told: told || (response.headers['www-authenticate'] ?? ''),
        });
      },
    );
    call.on('error', reject).end();
  });
}

export const scenes: readonly Scene[] = [
  scene(
    'Alice, her token, her certificate (signed by a CA)',
    200,
    async ({ authorizationServer, clients }) => ({
      token: await authorizationServer.token(clients.alice),
      identity: clients.alice.identity,
    }),
  ),
  scene(
    'A client with a self-signed certificate of its own',
    200,
    async ({ authorizationServer, clients }) => ({
      token: await authorizationServer.token(clients.selfSignedEc),
      identity: clients.selfSignedEc.identity,
    }),
  ),
  scene(
    "Bob with Alice's stolen token and his own certificate",
    401,
    async ({ authorizationServer, clients }) => ({
      token: await authorizationServer.token(clients.alice),
      identity: clients.bob.identity,
    }),
  ),
  scene("A thief with Alice's token and no certificate", 401, async ({ authorizationServer, clients }) => ({
    token: await authorizationServer.token(clients.alice),
  })),
  async (story) => {
    const { authorizationServer, clients } = story;
    const token = await authorizationServer.token(clients.alice);
    const first = await play(story, '', 200, { token, identity: clients.alice.identity });
    const title = 'Bob, just after Alice used that very token (cached)';
    const second = await play(story, title, 401, { token, identity: clients.bob.identity });
    return Object.values(first.statuses).every((status) => status === 200) ? second : first;
  },
  scene('A token that is bound to no certificate', 401, async ({ authorizationServer, clients }) => ({
    token: await authorizationServer.token(clients.unbound),
    identity: clients.alice.identity,
  })),
  scene('A token that was revoked', 401, async ({ authorizationServer, clients }) => {
    const token = await authorizationServer.token(clients.alice);
    await authorizationServer.revoke(clients.alice, token);
    return { token, identity: clients.alice.identity };
  }),
  scene('A token that has expired', 401, async ({ authorizationServer, clients }) => {
    const token = await authorizationServer.token(clients.hasty);
    await sleep(2_100);
    return { token, identity: clients.hasty.identity };
  }),
  scene('A token without the scope for payments', 403, async ({ authorizationServer, clients }) => ({
    token: await authorizationServer.token({ ...clients.alice, scope: 'accounts:read' }),
    identity: clients.alice.identity,
    path: '/payments',
  })),
  scene('The same with the scope', 200, async ({ authorizationServer, clients }) => ({
    token: await authorizationServer.token(clients.alice),
    identity: clients.alice.identity,
    path: '/payments',
  })),
  scene('No token at all', 401, async ({ clients }) => ({ identity: clients.alice.identity })),
  async (story) => {
    const { authorizationServer, clients } = story;
    const token = await authorizationServer.token(clients.alice);
    await authorizationServer.stop();
    const title = 'A good token while the authorization server is stopped';
    const outcome = await play(story, title, 503, { token, identity: clients.alice.identity });
    await authorizationServer.start();
    return outcome;
  },
  scene('And when it is back', 200, async ({ authorizationServer, clients }) => ({
    token: await authorizationServer.token(clients.alice),
    identity: clients.alice.identity,
  })),
];
