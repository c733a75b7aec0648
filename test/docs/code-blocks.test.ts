import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as expressMtls from 'express-mtls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pages, root, textOf } from './pages.js';

interface Block {
  readonly name: string;
  readonly page: string;
  readonly code: string;
}

const blocks: readonly Block[] = pages.flatMap((page) =>
  [...textOf(page).matchAll(/^```(?:js|ts)\n([\s\S]*?)^```/gm)].map(([, code = ''], i) => ({
    name: `${page.replaceAll(/\W+/g, '-')}-${i + 1}.ts`,
    page,
    code,
  })),
);

// Below the root, so that packages are found as a user's program finds them.
const folder = join(root, 'node_modules/.cache/code-blocks');

/** What a block may use without a word: our own functions, and what every program has in some form. */
const surroundings = `
import type { Express, RequestHandler, Request } from 'express';
import type { ResourceServerOptions, ClientAuthentication } from 'express-mtls';
declare global {
${Object.keys(expressMtls)
  .filter((name) => name !== 'guard')
  .map((name) => `  const ${name}: typeof import('express-mtls').${name};`)
  .join('\n')}
  const https: typeof import('node:https');
  const app: any;
  const server: import('node:https').Server;
  // Pages call the middleware so, and our function has the name too.
  const guard: import('express-mtls').MtlsBound & typeof import('express-mtls').guard;
  const options: ResourceServerOptions;
  const clientAuthentication: ClientAuthentication;
  const listAccounts: RequestHandler;
  const pay: RequestHandler;
  const log: (error: unknown) => void;
  const req: Request;
  const tls: import('node:https').ServerOptions;
  const issuer: string, clientId: string, clientSecret: string, audience: string, secret: string, token: string, cert: string, key: string;
}
export {};
`;

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'surroundings.d.ts'), surroundings);
  for (const { name, code } of blocks) {
    writeFileSync(join(folder, name), `${code}\nexport {};\n`);
  }
  const compilerOptions = {
    strict: false,
    exactOptionalPropertyTypes: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
    noEmit: true,
  };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: join(root, 'tsconfig.base.json'), compilerOptions, include: ['*.ts'] }),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('every block of every page compiles against the packages as they are built', () => {
  expect(blocks.length).toBeGreaterThan(40);
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout, stderr, status } = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], {
    cwd: root,
    encoding: 'utf8',
  });
  expect({ stdout, stderr, status }).toEqual({ stdout: '', stderr: '', status: 0 });
});

// Those that need nothing but themselves, and assert something by themselves.
it.each(blocks.filter(({ page }) => page === 'docs/testing.md'))('$name runs', async ({ name }) => {
  await import(pathToFileURL(join(folder, name)).href);
});
