import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { ResponseBodyError } from 'openid-client';
import { createPki, type Identity } from '../../test/support/pki.js';
import type { Outcome, Result } from '../table.js';
import { authorize, type Client, createClient, redeem, refresh, revoke } from './client.js';
import type { ClientName, Stack } from './stack.js';

/** The server that answers: the authorization server's token endpoint (AS), or an API. */
type Asked = 'AS' | 'Express' | 'Koa';

type Scene = (stack: Stack) => Promise<Outcome<Asked>[]>;

interface Call {
  readonly token?: string;
  readonly identity?: Identity;
  readonly headers?: Record<string, string>;
  readonly tls?: RequestOptions;
  /** Whether the call goes to the APIs directly and not through the proxies. */
  readonly isAround?: boolean;
}

interface Answer {
  readonly result: Result;
  readonly body: Record<string, string>;
}

/** The address of the clients on this machine. The APIs must learn it. */
export const clientAddress = '127.0.0.9';

const atApis = (result: Result) => ({ AS: undefined, Express: result, Koa: result });
const atServer = (result: Result) => ({ AS: result, Express: undefined, Koa: undefined });

async function callBoth(stack: Stack, title: string, expected: Result, call: Call): Promise<Outcome<Asked>> {
  const results: Record<Asked, Result | undefined> = { AS: undefined, Express: undefined, Koa: undefined };
  let told = '';
  for (const name of ['Express', 'Koa'] as const) {
    const { result, body } = await send(
      stack,
      `${(call.isAround ? stack.around : stack.apis)[name]}/accounts`,
      call,
    );
    results[name] = result;
    told = told || toldIn(body);
  }
  return { title, expected: atApis(expected), results, told };
}

function toldIn({
  error,
  error_description: description,
  user: who,
  client,
  from,
}: Record<string, string>): string {
  return error === undefined ? (who ? `${who}, by ${client}, from ${from}` : '') : `${error}: ${description}`;
}

function send({ pki }: Stack, url: string, { token, identity, headers, tls }: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions = {
      ca: pki.ca.cert,
      cert: identity?.cert,
      key: identity?.key,
      ...(url.includes('//127.0.0.1') && { localAddress: clientAddress }),
      agent: false,
      headers: { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      ...tls,
    };
    const request = url.startsWith('https:') ? httpsRequest(url, options) : httpRequest(url, options);
    request.on('response', (response) => {
      answerIn(response).then(resolve, reject);
    });
    request.on('error', () => resolve({ result: 'no TLS', body: {} }));
    request.end();
  });
}

/** Returns the answer. Rejects if the connection closes before its end. */
async function answerIn(response: IncomingMessage): Promise<Answer> {
  let text = '';
  for await (const chunk of response) {
    text += chunk;
  }
  const isJson = response.headers['content-type']?.startsWith('application/json') === true;
  return { result: response.statusCode ?? 0, body: isJson ? JSON.parse(text) : {} };
}

/** The outcome of a request to the token endpoint: 200, or the status of its error. */
async function atTokenEndpoint(
  title: string,
  expected: Result,
  ask: () => Promise<unknown>,
): Promise<Outcome<Asked>> {
  try {
    await ask();
    return { title, expected: atServer(expected), results: atServer(200), told: '' };
  } catch (error) {
    if (!(error instanceof ResponseBodyError)) {
      throw error;
    }
    const told = toldIn({ error: error.error, error_description: error.error_description ?? '' });
    return { title, expected: atServer(expected), results: atServer(error.status), told };
  }
}

/** A client that has got its tokens, with all that an attacker can steal from it. */
async function signedIn(stack: Stack, name: ClientName = 'by-subject') {
  const identity = stack.clients[name];
  const client = await createClient(stack, name, identity);
  const { access_token: token, refresh_token: refreshToken = '' } = await redeem(
    client,
    await authorize(stack, client),
  );
  return { client, identity, token, refreshToken };
}

function wholeSequence(name: ClientName, how: string): Scene {
  return async (stack) => {
    const { client, identity, token, refreshToken } = await signedIn(stack, name);
    const outcomes = [
      await callBoth(stack, `${how}: pushed request, login, code, token, call`, 200, { token, identity }),
    ];
    const renewed = await refresh(client, refreshToken);
    outcomes.push(
      await callBoth(stack, '  then a call with the refreshed token', 200, {
        token: renewed.access_token,
        identity,
      }),
    );
    await revoke(client, renewed.access_token);
    await sleep(1_100);
    outcomes.push(
      await callBoth(stack, '  then a call with this token after its revocation', 401, {
        token: renewed.access_token,
        identity,
      }),
    );
    return outcomes;
  };
}

function attack(title: string, expected: Result, prepare: (stack: Stack) => Promise<Call>): Scene {
  return async (stack) => [await callBoth(stack, title, expected, await prepare(stack))];
}

const header = (identity: Identity) => ({
  'x-fapi-client-cert': encodeURIComponent(identity.cert),
  'x-ssl-client-verify': 'SUCCESS',
});

/** A client that redeems stolen codes and refresh tokens. */
const thief = (stack: Stack): Promise<Client> => createClient(stack, 'by-san', stack.clients['by-san']);

export const scenes: readonly Scene[] = [
  wholeSequence('by-subject', 'Client identified by its subject'),
  wholeSequence('by-san', 'Client identified by a DNS name'),
  wholeSequence('by-own-certificate', 'Client with a self-signed certificate'),
  async (stack) => {
    const client = await createClient(stack, 'by-subject', stack.clients['by-subject']);
    const stolen = await authorize(stack, client);
    const other = await thief(stack);
    return [
      await atTokenEndpoint('A stolen code, redeemed by another client', 400, () => redeem(other, stolen)),
    ];
  },
  async (stack) => {
    const { refreshToken } = await signedIn(stack);
    const other = await thief(stack);
    return [
      await atTokenEndpoint('A stolen refresh token, used by another client', 400, () =>
        refresh(other, refreshToken),
      ),
    ];
  },
  async (stack) => {
    // Another certificate authority can issue a certificate with any subject.
    const { alice: imposter } = await createPki('CN=Another CA');
    const client = await createClient(stack, 'by-subject', imposter);
    return [
      await atTokenEndpoint('The subject of a client, certified by another CA: at the server', 401, () =>
        authorize(stack, client),
      ),
    ];
  },
  attack('  at the APIs, with a stolen token', 401, async (stack) => {
    const { token } = await signedIn(stack);
    return { token, identity: (await createPki('CN=Another CA')).alice };
  }),
  attack('  from a CA of the same name: NGINX itself refuses', 400, async (stack) => {
    const { token } = await signedIn(stack);
    return { token, identity: (await createPki()).alice };
  }),
  attack('A stolen token with another certificate of the same CA', 401, async (stack) => {
    const { token } = await signedIn(stack);
    return { token, identity: stack.pki.bob };
  }),
  attack('A stolen token with an unknown self-signed certificate', 401, async (stack) => {
    const { token } = await signedIn(stack);
    return { token, identity: stack.pki.selfSignedEc };
  }),
  attack('A stolen token without a certificate', 401, async (stack) => {
    const { token } = await signedIn(stack);
    return { token };
  }),
  attack("A forged certificate header, with the thief's own certificate", 401, async (stack) => {
    const { token, identity } = await signedIn(stack);
    return { token, identity: stack.pki.bob, headers: header(identity) };
  }),
  attack('A forged certificate header, without a certificate', 401, async (stack) => {
    const { token, identity } = await signedIn(stack);
    return { token, headers: header(identity) };
  }),
  attack('A forged certificate header, sent to the APIs directly', 401, async (stack) => {
    const { token, identity } = await signedIn(stack);
    return { token, isAround: true, headers: header(identity) };
  }),
  attack('A forged header, with a wrong proxy secret', 401, async (stack) => {
    const { token, identity } = await signedIn(stack);
    return { token, isAround: true, headers: { ...header(identity), 'x-proxy-secret': 'guess' } };
  }),
  attack('A cipher suite that FAPI does not permit', 'no TLS', async (stack) => {
    const { token, identity } = await signedIn(stack);
    const ciphers = 'ECDHE-RSA-AES128-SHA256:@SECLEVEL=0';
    return { token, identity, tls: { ciphers, maxVersion: 'TLSv1.2' } };
  }),
  attack('TLS 1.1', 'no TLS', async (stack) => {
    const { token, identity } = await signedIn(stack);
    return {
      token,
      identity,
      tls: { ciphers: 'ALL:@SECLEVEL=0', minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' },
    };
  }),
  attack(`An honest client over TLS 1.2 with a suite that FAPI permits`, 200, async (stack) => {
    const { token, identity } = await signedIn(stack);
    return { token, identity, tls: { ciphers: 'DHE-RSA-AES256-GCM-SHA384', maxVersion: 'TLSv1.2' } };
  }),
];
