import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { Server } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createTestCertificate } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { register } from 'prom-client';
import { vi } from 'vitest';
import { revocationList } from '../support/crl.js';
import type { Pki } from '../support/pki.js';
import { type Block, blocks } from './blocks.js';
import { root } from './pages.js';

/** What a block left behind. */
export interface Ran {
  readonly app: express.Express | Koa;
  /** Those that it made, or has listen. */
  readonly servers: readonly Server[];
}

export interface BlockRunner {
  run(block: Block): Promise<Ran>;
  /** As if nothing had run. */
  tidy(): void;
  end(): void;
}

/** What pages say is in the environment. */
const environment = {
  MTLS_BOUND_ISSUER: 'https://as.example.com',
  MTLS_BOUND_CLIENT_ID: 'api',
  MTLS_BOUND_CLIENT_SECRET: 'a-secret',
  MTLS_BOUND_AUDIENCE: 'https://api.example.com',
  PROXY_SECRET: 'at-least-16-characters',
  FLEET_SECRET: 'a-secret-of-32-characters-or-more',
  REDIS_URL: 'rediss://127.0.0.1',
};

/** What pages take for granted, as code-blocks.test.ts declares it. */
const strings = {
  issuer: environment.MTLS_BOUND_ISSUER,
  clientId: 'api',
  clientSecret: 'a-secret',
  audience: environment.MTLS_BOUND_AUDIENCE,
  secret: 'at least thirty-two characters of secret',
  token: 'a-token',
  value: environment.PROXY_SECRET,
};
const { issuer, clientId, clientSecret, audience } = strings;
const options = { issuer, clientId, clientSecret, audience };
const issuers = [{ issuer: 'https://acme.example.com', clientId, clientSecret }];

/** In place of a Redis that only the reader has, of Keyv's way to it, and of a logger that writes. */
const standIns = {
  '@redis/client': `
const client = {
  on: () => client,
  connect: async () => client,
  duplicate: () => client,
  get: async () => null,
  xAdd: async () => '1-0',
  xRead: async () => null,
  xInfoStream: async () => ({ 'last-generated-id': '0-0' }),
  subscribe: async () => undefined,
  publish: async () => 0,
  set: async () => 'OK',
  del: async () => 1,
  destroy: () => undefined,
};
export const createClient = () => client;`,
  '@keyv/redis': `
export { createClient } from './redisclient-stand-in.mjs';
export default class { constructor() { return new Map(); } }`,
  pino: `
import { pino as loud } from 'pino';
export const pino = (options) => loud({ ...options, level: 'silent' });`,
};
const fileOf = (module: string): string => `${module.replaceAll(/\W/g, '')}-stand-in.mjs`;

// Below the root, so that packages are found as a user's program finds them.
const folder = join(root, 'node_modules/.cache/running-blocks');

/** Runs blocks as a program of the reader's would: in a folder with its files and packages, and its environment. */
export async function blockRunner(pki: Pki): Promise<BlockRunner> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, { cert, key }] of Object.entries({ server: pki.server, api: pki.alice })) {
    writeFileSync(join(folder, `${name}.pem`), cert);
    writeFileSync(join(folder, `${name}.key`), key);
  }
  writeFileSync(join(folder, 'clients-ca.pem'), pki.ca.cert);
  const example = join(root, 'examples/express-behind-nginx/options.mjs');
  writeFileSync(join(folder, 'options.mjs'), readFileSync(example, 'utf8'));
  writeFileSync(join(folder, 'clients-crl.pem'), await revocationList(pki.ca, []));
  for (const [module, text] of Object.entries(standIns)) {
    writeFileSync(join(folder, fileOf(module)), text);
  }
  for (const { name, code } of blocks) {
    const withStandIns = Object.keys(standIns).reduce(
      (text, module) => text.replace(`from '${module}'`, `from './${fileOf(module)}'`),
      code,
    );
    writeFileSync(join(folder, `${name}.mjs`), withStandIns);
  }
  const load = (file: string, query = '') => import(`${pathToFileURL(join(folder, file)).href}${query}`);
  const { createClient } = await load(fileOf('@redis/client'));
  const { pino } = await load(fileOf('pino'));
  const certificate = await createTestCertificate();
  const { cert, key } = pki.server;
  const outside = process.cwd();
  const listeners = process.listeners('SIGTERM');
  process.chdir(folder);
  const servers = new Set<Server>();
  let count = 0;

  return {
    async run({ name, framework }) {
      for (const [variable, value] of Object.entries(environment)) {
        vi.stubEnv(variable, value);
      }
      // Whatever port a page names.
      const listen: (port: number) => Server = Server.prototype.listen;
      vi.spyOn(Server.prototype, 'listen').mockImplementation(function (this: Server) {
        servers.add(this);
        return listen.call(this, 0);
      });
      const app = framework === 'koa' ? new Koa() : express();
      const ours = framework === 'koa' ? koaMtls : expressMtls;
      const surroundings = {
        ...ours,
        ...strings,
        app,
        router: framework === 'koa' ? { get: route, post: route } : app,
        handler,
        listAccounts: handler,
        pay: handler,
        mtls: ours.mtlsBound(options),
        options,
        issuers,
        clientAuthentication: ours.clientSecretPost(clientSecret),
        client: createClient(),
        cert,
        key,
        tls: { cert, key, requestCert: true, rejectUnauthorized: false },
        https: {
          createServer: (...given: Parameters<typeof https.createServer>) => {
            const server = https.createServer(...given);
            servers.add(server);
            return server;
          },
        },
        server: new Server(),
        req: { auth: { subject: 'alice', clientId: 'app', claims: {}, certificate } },
        log: () => undefined,
        pino,
        readFileSync,
      };
      for (const [global, value] of Object.entries(surroundings)) {
        vi.stubGlobal(global, value);
      }
      // A module runs but once.
      count += 1;
      await load(`${name}.mjs`, `?${count}`);
      return { app, servers: [...servers] };
    },
    tidy() {
      for (const server of servers) {
        server.close();
      }
      servers.clear();
      register.clear();
      for (const listener of process.listeners('SIGTERM').filter((one) => !listeners.includes(one))) {
        process.removeListener('SIGTERM', listener);
      }
      vi.unstubAllEnvs();
      vi.unstubAllGlobals();
      vi.restoreAllMocks();
    },
    end() {
      process.chdir(outside);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const handler = (): void => undefined;

/** Any router takes a path and functions. */
function route(path: string, ...handlers: unknown[]): void {
  if (typeof path !== 'string' || !handlers.every((one) => typeof one === 'function')) {
    throw new TypeError('a route is a path and functions');
  }
}
