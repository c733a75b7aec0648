import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnsecuredJWT } from 'jose';
import type { TestClient } from '../../test/support/authorization-server.js';
import { type DpopClient, dpopClient } from '../../test/support/dpop-client.js';
import type { Identity } from '../../test/support/pki.js';
import type { Outcome as TableRow } from '../table.js';
import type { ApiName } from './apis.js';
import type { Api, Story } from './cast.js';

type Outcome = TableRow<ApiName>;

/** The status by API; `undefined` if the scene does not call that API. */
type Statuses = Readonly<Record<ApiName, number | undefined>>;

type Scene = (story: Story) => Promise<Outcome>;

interface Call {
  readonly token?: string;
  readonly identity?: Identity;
  readonly path?: string;
  /** A DPoP proof; the token is sent with the scheme DPoP. */
  readonly proof?: string;
}

/** Returns the call that the client makes to one API. */
type Part = (story: Story, api: Api) => Call | Promise<Call>;

const everywhere = (status: number): Statuses => ({ Express: status, Koa: status, JWT: status });

function scene(title: string, expected: Statuses, part: Part): Scene {
  return (story) => play(story, title, expected, part);
}

async function play(story: Story, title: string, expected: Statuses, part: Part): Promise<Outcome> {
  const statuses: Record<ApiName, number | undefined> = {
    Express: undefined,
    Koa: undefined,
    JWT: undefined,
  };
  let told = '';
  for (const name of Object.keys(statuses) as ApiName[]) {
    if (expected[name] !== undefined) {
      const api = story.apis[name];
      const answer = await send(story, api.url, await part(story, api));
      statuses[name] = answer.status;
      told = answer.told || told;
    }
  }
  return { title, expected, results: statuses, told };
}

function send({ pki }: Story, url: string, { token, identity, path = '/accounts', proof }: Call) {
  const scheme = proof === undefined ? 'Bearer' : 'DPoP';
  return new Promise<{ status: number; told: string }>((resolve, reject) => {
    const call = request(
      `${url}${path}`,
      {
        ca: pki.ca.cert,
        cert: identity?.cert,
        key: identity?.key,
        headers: {
          ...(token !== undefined && { authorization: `${scheme} ${token}` }),
          ...(proof !== undefined && { dpop: proof }),
        },
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

/** Returns a token for this API that the authorization server issued to the client. */
const tokenFor = ({ authorizationServer }: Story, { audience }: Api, client: TestClient): Promise<string> =>
  authorizationServer.token({ ...client, resource: audience });

const alicesOwn: Part = async (story, api) => ({
  token: await tokenFor(story, api, story.clients.alice),
  identity: story.clients.alice.identity,
});

/** A call with Alice's own token and certificate, with some members replaced. */
const alicesBut =
  (change: (story: Story, api: Api) => Call | Promise<Call>): Part =>
  async (story, api) => ({ ...(await alicesOwn(story, api)), ...(await change(story, api)) });

/** The key in Alice's phone, which has no certificate. The key does not leave the phone. */
const phone = dpopClient();
const bobsPhone = dpopClient();

/** A token that is bound to the key of the phone. */
const phoneToken = ({ authorizationServer, clients }: Story, { audience }: Api): Promise<string> =>
  authorizationServer.token({
    ...clients.phone,
    resource: audience,
    proof: phone.proof('', {
      claims: { htm: 'POST', htu: `${authorizationServer.issuer}/token`, ath: undefined },
    }),
  });

const proofFor = ({ audience }: Api, token: string, by: DpopClient = phone): string =>
  by.proof(token, { claims: { htu: `${audience}/accounts` } });

/** A call of Alice's phone, with some members replaced. */
const phoneBut =
  (change: (api: Api, token: string) => Call): Part =>
  async (story, api) => {
    const token = await phoneToken(story, api);
    return { token, proof: proofFor(api, token), ...change(api, token) };
  };

export const scenes: readonly Scene[] = [
  scene('Alice, with her token and her certificate from a CA', everywhere(200), alicesOwn),
  scene('A client with its own self-signed certificate', everywhere(200), async (story, api) => ({
    token: await tokenFor(story, api, story.clients.selfSignedEc),
    identity: story.clients.selfSignedEc.identity,
  })),
  scene(
    "Bob, with Alice's stolen token and his certificate",
    everywhere(401),
    alicesBut(({ clients }) => ({ identity: clients.bob.identity })),
  ),
  scene("Bob, with Alice's stolen token and no certificate", everywhere(401), async (story, api) => ({
    token: await tokenFor(story, api, story.clients.alice),
  })),
  async (story) => {
    const tokens = new Map<Api, Call>();
    const first = await play(story, '', everywhere(200), async (_story, api) => {
      const call = await alicesOwn(story, api);
      tokens.set(api, call);
      return call;
    });
    const title = 'Bob, just after Alice used the token (it is cached)';
    const second = await play(story, title, everywhere(401), (_story, api) => ({
      ...tokens.get(api),
      identity: story.clients.bob.identity,
    }));
    return Object.values(first.results).every((status) => status === 200) ? second : first;
  },
  scene(
    "Alice's phone, with its token and its key (DPoP)",
    everywhere(200),
    phoneBut(() => ({})),
  ),
  scene(
    "Bob, with the phone's stolen token and his key",
    everywhere(401),
    phoneBut((api, token) => ({ proof: proofFor(api, token, bobsPhone) })),
  ),
  scene("Bob, with the phone's stolen token and no key", everywhere(401), async (story, api) => ({
    token: await phoneToken(story, api),
    identity: story.clients.bob.identity,
  })),
  async (story) => {
    const calls = new Map<Api, Call>();
    const first = await play(story, '', everywhere(200), async (story, api) => {
      const call = await phoneBut(() => ({}))(story, api);
      calls.set(api, call);
      return call;
    });
    const title = "Bob, with a copy of the phone's last request";
    const second = await play(story, title, everywhere(401), (_story, api) => calls.get(api) ?? {});
    return Object.values(first.results).every((status) => status === 200) ? second : first;
  },
  scene(
    'A token that is not bound to a certificate',
    everywhere(401),
    alicesBut(async (story, api) => ({ token: await tokenFor(story, api, story.clients.unbound) })),
  ),
  scene(
    'A token that Bob forged (a JWT with alg none)',
    everywhere(401),
    alicesBut(({ authorizationServer, pki }, api) => ({
      identity: pki.bob,
      token: new UnsecuredJWT({ client_id: 'bob', cnf: { 'x5t#S256': pki.bob.thumbprint } })
        .setIssuer(authorizationServer.issuer)
        .setAudience(api.audience)
        .setExpirationTime('1h')
        .encode(),
    })),
  ),
  // An API that validates JWTs itself does not learn of a revocation, and the server keeps no JWT that it could revoke.
  scene(
    'A revoked token',
    { Express: 401, Koa: 401, JWT: undefined },
    alicesBut(async (story, api) => {
      const token = await tokenFor(story, api, story.clients.alice);
      await story.authorizationServer.revoke(story.clients.alice, token);
      return { token };
    }),
  ),
  scene(
    'An expired token',
    // A JWT is accepted for 30 more seconds, because clocks may differ. The authorization server uses its own clock.
    { Express: 401, Koa: 401, JWT: undefined },
    alicesBut(async (story, api) => {
      const token = await tokenFor(story, api, story.clients.hasty);
      await sleep(2_100);
      return { token };
    }),
  ),
  scene(
    'Alice calls /payments without its scope',
    everywhere(403),
    alicesBut(async (story, api) => ({
      token: await tokenFor(story, api, { ...story.clients.alice, scope: 'accounts:read' }),
      path: '/payments',
    })),
  ),
  scene(
    'Alice calls /payments with its scope',
    everywhere(200),
    alicesBut(() => ({ path: '/payments' })),
  ),
  scene('A request without a token', everywhere(401), ({ clients }) => ({
    identity: clients.alice.identity,
  })),
  async (story) => {
    const tokens = new Map<Api, Call>();
    for (const api of Object.values(story.apis)) {
      tokens.set(api, await alicesOwn(story, api));
    }
    await story.authorizationServer.stop();
    const title = 'A valid token while the authorization server is down';
    // The API has the keys for JWTs already. It can't check an opaque token by itself.
    const expected = { Express: 503, Koa: 503, JWT: 200 };
    const outcome = await play(story, title, expected, (_story, api) => tokens.get(api) ?? {});
    await story.authorizationServer.start();
    return outcome;
  },
  scene('A valid token after it is running again', everywhere(200), alicesOwn),
];
