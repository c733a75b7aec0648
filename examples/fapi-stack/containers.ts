// One member of the stack in a container of its own, by the first argument; see compose.yaml.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { createPki, type Identity, issueFrom, type Pki } from '../../test/support/pki.js';
import { printTable } from '../table.js';
import { expressApi, koaApi } from './apis.js';
import { createAuthorizationServer } from './authorization-server.js';
import { scenes } from './scenes.js';
import type { Stack } from './stack.js';

const { TLS = '/tls', PROXY_SECRET = '', ISSUER = '', EXPRESS_URL = '', KOA_URL = '' } = process.env;
const file = join(TLS, 'pki.json');

interface Known {
  readonly pki: Pki;
  readonly clients: Stack['clients'];
}

async function makePki(): Promise<void> {
  const pki = await createPki();
  const clients: Stack['clients'] = {
    'by-subject': pki.alice,
    'by-san': await issueFrom(pki, 'CN=tpp', [], ['tpp.example.com']),
    'by-own-certificate': pki.selfSignedRsa,
  };
  mkdirSync(TLS, { recursive: true });
  writeFileSync(join(TLS, 'server.pem'), pki.serverRsa.cert);
  writeFileSync(join(TLS, 'server.key'), pki.serverRsa.key);
  writeFileSync(join(TLS, 'clients-ca.pem'), pki.ca.cert);
  writeFileSync(file, JSON.stringify({ pki, clients } satisfies Known));
}

function readPki(): Known {
  // A Buffer is written as an object of its bytes.
  return JSON.parse(readFileSync(file, 'utf8'), (name, value) =>
    name === 'der' ? Buffer.from(value) : value,
  );
}

async function serve(listener: RequestListener): Promise<void> {
  createServer(listener).listen(3000);
}

function resourceServer({ pki }: Known): {
  issuer: string;
  proxySecret: string;
  ca: string;
  identity: Identity;
} {
  return { issuer: ISSUER, proxySecret: PROXY_SECRET, ca: pki.ca.cert, identity: pki.bob };
}

async function playScenes({ pki, clients }: Known): Promise<void> {
  const stack: Stack = {
    pki,
    clients,
    issuer: ISSUER,
    apis: { Express: EXPRESS_URL, Koa: KOA_URL },
    around: { Express: 'http://express-api:3000', Koa: 'http://koa-api:3000' },
    end: async () => undefined,
  };
  const outcomes = [];
  for (const scene of scenes) {
    outcomes.push(...(await scene(stack)));
  }
  process.exitCode = printTable(outcomes) ? 0 : 1;
}

const roles: Record<string, () => Promise<void>> = {
  pki: makePki,
  'authorization-server': async () => {
    const { pki, clients } = readPki();
    await serve(
      createAuthorizationServer({ issuer: ISSUER, proxySecret: PROXY_SECRET, clients, api: pki.bob }),
    );
  },
  'express-api': () => serve(expressApi(resourceServer(readPki())) as RequestListener),
  'koa-api': () => serve(koaApi(resourceServer(readPki()))),
  client: () => playScenes(readPki()),
};

const [role = ''] = process.argv.slice(2);
await roles[role]?.();
