import { Agent } from 'node:https';
import fetch from 'node-fetch';
import * as openid from 'openid-client';
import type { Identity } from '../../test/support/pki.js';
import { audience, redirectUri, scope, user } from './authorization-server.js';
import type { ClientName, Stack } from './stack.js';

/** A client of the authorization server, on openid-client, over mutual TLS. */
export interface Client {
  readonly config: openid.Configuration;
}

/** What came of the person's part: where the browser was sent to, and what only the client knows. */
export interface Authorization {
  readonly callback: URL;
  readonly codeVerifier: string;
  readonly state: string;
}

export async function createClient(stack: Stack, name: ClientName, identity: Identity): Promise<Client> {
  const viaMutualTls = mutualTlsFetch(stack, identity);
  const config = await openid.discovery(new URL(stack.issuer), name, undefined, openid.TlsClientAuth(), {
    [openid.customFetch]: viaMutualTls,
    algorithm: 'oauth2',
  });
  config[openid.customFetch] = viaMutualTls;
  return { config };
}

/** Pushes the request (RFC 9126), and takes its URI through the browser to the code. */
export async function authorize(stack: Stack, { config }: Client): Promise<Authorization> {
  const codeVerifier = openid.randomPKCECodeVerifier();
  const state = openid.randomState();
  const url = await openid.buildAuthorizationUrlWithPAR(config, {
    redirect_uri: redirectUri,
    scope,
    resource: audience,
    code_challenge: await openid.calculatePKCECodeChallenge(codeVerifier),
    code_challenge_method: 'S256',
    state,
  });
  return { callback: await browse(stack, url), codeVerifier, state };
}

export function redeem({ config }: Client, { callback, codeVerifier, state }: Authorization) {
  return openid.authorizationCodeGrant(config, callback, {
    pkceCodeVerifier: codeVerifier,
    expectedState: state,
  });
}

export function refresh({ config }: Client, refreshToken: string) {
  return openid.refreshTokenGrant(config, refreshToken);
}

export function revoke({ config }: Client, token: string): Promise<void> {
  return openid.tokenRevocation(config, token);
}

/** What a browser does, without one: follows redirects, keeps cookies, fills in the two forms. It has no certificate. */
async function browse({ pki }: Stack, start: URL): Promise<URL> {
  const agent = new Agent({ ca: pki.ca.cert });
  const cookies = new Map<string, string>();
  let url = start;
  for (let step = 0; step < 12; step += 1) {
    const isForm = url.pathname.startsWith('/interaction/');
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const page = isForm ? await (await fetch(url.href, { agent, headers: { cookie } })).text() : '';
    const answers = page === 'login' ? { name: user.name, password: user.password } : { consent: 'yes' };
    const response = await fetch(url.href, {
      agent,
      redirect: 'manual',
      headers: { cookie },
      ...(isForm && { method: 'POST', body: new URLSearchParams(answers) }),
    });
    for (const line of response.headers.raw()['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) {
      throw new Error(`the browser is stuck at ${url.pathname}: ${response.status} ${await response.text()}`);
    }
    url = new URL(location, url);
    if (url.href.startsWith(redirectUri)) {
      return url;
    }
  }
  throw new Error('the browser was sent around in circles');
}

function mutualTlsFetch({ pki }: Stack, { cert, key }: Identity): openid.CustomFetch {
  const agent = new Agent({ ca: pki.ca.cert, cert, key });
  return async (url, { method, headers, body }) => {
    const answer = await fetch(url, {
      method,
      headers,
      body: (body ?? null) as string | null,
      agent,
      redirect: 'manual',
    });
    const content = answer.status === 204 ? null : await answer.arrayBuffer();
    return new Response(content, { status: answer.status, headers: [...answer.headers] });
  };
}
