import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as expressMtls from 'express-mtls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { blocks } from './blocks.js';
import { root } from './pages.js';

// Below the root, so that packages are found as a user's program finds them.
const folder = join(root, 'node_modules/.cache/code-blocks');

/** What a block may use without a word: our own functions, and what every program has in some form. */
const surroundings = (adapter: string, ofFramework: string): string => `
${ofFramework}
import type { IssuerOptions, RedisClient, RedisLogClient, ResourceServerOptions, ClientAuthentication } from '${adapter}';
declare global {
${Object.keys(expressMtls)
  .map((name) => `  const ${name}: typeof import('${adapter}').${name};`)
  .join('\n')}
  const app: App;
  const router: Router;
  const handler: Handler, listAccounts: Handler, pay: Handler;
  const mtls: import('${adapter}').MtlsBound;
  const https: typeof import('node:https');
  const readFileSync: typeof import('node:fs').readFileSync;
  const pino: typeof import('pino').pino;
  const request: typeof import('supertest');
  const server: import('node:https').Server;
  const tls: import('node:https').ServerOptions;
  const options: ResourceServerOptions;
  const issuers: IssuerOptions[];
  const clientAuthentication: ClientAuthentication;
  const client: RedisClient & RedisLogClient;
  const kit: import('@mtls-bound/core/testing').TestKit;
  const log: (error: unknown) => void;
  const issuer: string, clientId: string, clientSecret: string, audience: string, secret: string, token: string;
  const cert: string, key: string, value: string;
}
export {};
`;

const optionsModule = `
declare const options: import('@mtls-bound/core').ResourceServerOptions;
export default options;
`;

const frameworks = {
  express: surroundings(
    'express-mtls',
    `import type { Express, Request, RequestHandler } from 'express';
type App = Express;
type Router = Express;
type Handler = RequestHandler;
declare global { const req: Request; type ErrorRequestHandler = import('express').ErrorRequestHandler; }`,
  ),
  // A router is anybody's.
  koa: surroundings(
    'koa-mtls',
    `import type Koa from 'koa';
type App = Koa;
type Handler = Koa.Middleware;
interface Router { get(path: string, ...handlers: Handler[]): unknown; post(path: string, ...handlers: Handler[]): unknown; }`,
  ),
};

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true });
  for (const [framework, text] of Object.entries(frameworks)) {
    mkdirSync(join(folder, framework), { recursive: true });
    writeFileSync(join(folder, framework, 'surroundings.d.ts'), text);
    // Pages keep the options in a module of their own, which the server and mtls-doctor read.
    writeFileSync(join(folder, framework, 'options.d.mts'), optionsModule);
    writeFileSync(
      join(folder, framework, 'tsconfig.json'),
      JSON.stringify({ extends: join(root, 'tsconfig.base.json'), compilerOptions, include: ['*.ts'] }),
    );
  }
  for (const { name, framework, code } of blocks) {
    writeFileSync(join(folder, framework, `${name}.ts`), `${code}\nexport {};\n`);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const compilerOptions = {
  noEmit: true,
  // JavaScript knows no `!`: behind mtlsBound() there is a req.auth, and who names a variable of the environment has set it.
  strictNullChecks: false,
  exactOptionalPropertyTypes: false,
  noUnusedLocals: false,
  noUnusedParameters: false,
  allowUnusedLabels: false,
};

it('there are blocks of every kind', () => {
  expect(blocks.length).toBeGreaterThan(80);
  expect(blocks.filter(({ framework }) => framework === 'koa').length).toBeGreaterThan(10);
  expect(blocks.filter(({ page }) => page === 'docs/reference/api.md').length).toBeGreaterThan(25);
});

it.each(Object.keys(frameworks))(
  'every block for %s compiles against the packages as they are built',
  (framework) => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [tsc, '-p', join(folder, framework), '--pretty', 'false'],
      { cwd: root, encoding: 'utf8' },
    );
    expect({ stdout, stderr, status }).toEqual({ stdout: '', stderr: '', status: 0 });
  },
);
