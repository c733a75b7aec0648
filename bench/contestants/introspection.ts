import { Agent, request } from 'node:https';
import type { ApiSetup } from './setup.js';

/** What the contestants read of an introspection answer. */
export interface Claims {
  readonly active: boolean;
  readonly exp?: number;
  readonly cnf?: { readonly 'x5t#S256'?: string };
}

/** Asks the authorization server about a token. */
export type Introspect = (token: string) => Promise<Claims>;

type Endpoint = Pick<ApiSetup, 'introspectionEndpoint' | 'ca'>;

export const authorization = `Basic ${Buffer.from('api:secret of the api').toString('base64')}`;
const form = 'application/x-www-form-urlencoded';

/** The least that an exchange takes: Node's own client, a kept-alive connection, `JSON.parse`. */
export function byHttpsRequest({ introspectionEndpoint, ca }: Endpoint): Introspect {
  const agent = new Agent({ keepAlive: true, ca });
  return (token) =>
    new Promise((resolve, reject) => {
      const body = `token=${token}`;
      const headers = { authorization, 'content-type': form, 'content-length': body.length };
      const asked = request(introspectionEndpoint, { method: 'POST', agent, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(JSON.parse(text) as Claims));
        response.on('error', reject);
      });
      asked.on('error', reject);
      asked.end(body);
    });
}

/** node-fetch, which our packages use, alone. */
export async function byNodeFetch({ introspectionEndpoint, ca }: Endpoint): Promise<Introspect> {
  const agent = new Agent({ keepAlive: true, ca });
  const { default: nodeFetch } = await import('node-fetch');
  return async (token) => {
    const body = new URLSearchParams({ token });
    const request = { method: 'POST', agent, headers: { authorization }, body };
    return (await (await nodeFetch(introspectionEndpoint, request)).json()) as Claims;
  };
}

/** Node's own fetch, which takes the authority from NODE_EXTRA_CA_CERTS. */
export function byGlobalFetch({ introspectionEndpoint }: Endpoint): Introspect {
  return async (token) => {
    const body = new URLSearchParams({ token });
    const request = { method: 'POST', headers: { authorization }, body };
    return (await (await fetch(introspectionEndpoint, request)).json()) as Claims;
  };
}
