// A process that runs the APIs of `npm start` on odd ground: another Promise, another realm, two copies of the packages.
import { rmSync } from 'node:fs';
import { cp, mkdtemp, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createContext, runInContext } from 'node:vm';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));
const apis = () => import('../../examples/story/apis.ts');

const promises = {
  bluebird: () => require('bluebird'),
  'es6-promise': () => require('es6-promise').Promise,
  'a subclass': () => class AppPromise extends Promise {},
};

const grounds = {
  before: async (name) => {
    globalThis.Promise = promises[name]();
    return withPoliciesThatWait(await apis());
  },
  after: async (name) => {
    const loaded = await apis();
    globalThis.Promise = promises[name]();
    return withPoliciesThatWait(loaded);
  },
  realm: inAnotherRealm,
  copies: (name) => withTwoCopies(name),
};

/** A policy as an application writes it, with the `RequestRefused` of one copy of the packages. */
const scopePolicyOf =
  ({ RequestRefused }) =>
  (scope) =>
  ({ authorization }) => {
    if (!authorization.scopes.includes(scope)) {
      throw new RequestRefused('scope_insufficient', { scope });
    }
  };

/** The policy of a route gives a promise, of Node's make in one framework and of the application's in the other. */
function withPoliciesThatWait({ createApis, parts: { express, koa, jwtAccessTokens } }) {
  const requireScope = scopePolicyOf(express);
  const ofNode = (policy) => async (request) => policy(request);
  const ofApplication = (policy) => (request) => new Promise((resolve) => resolve(policy(request)));
  return (settings) =>
    createApis(settings, {
      express: { ...express, requireScopes: (scope) => express.guard(ofNode(requireScope(scope))) },
      koa: { ...koa, requireScopes: (scope) => koa.guard(ofApplication(requireScope(scope))) },
      jwtAccessTokens,
    });
}

/** Evaluates the built packages and the frameworks in a vm context: each global of JavaScript is there a second time. */
async function inAnotherRealm() {
  const { outputFiles } = await require('esbuild').build({
    entryPoints: [join(root, 'examples/story/apis.ts')],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    define: { 'import.meta.url': JSON.stringify(import.meta.url) },
    logLevel: 'silent',
  });
  const module = { exports: {} };
  const context = createContext({ require, module, exports: module.exports });
  context.global = context;
  const ownNames = new Set(runInContext('Object.getOwnPropertyNames(globalThis)', context));
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!ownNames.has(name)) {
      context[name] = globalThis[name];
    }
  }
  runInContext(outputFiles[0].text, context);
  return module.exports.createApis;
}

/** Loads a second copy of the built packages, which an installation gets by two versions that do not fit together. */
async function withTwoCopies(name) {
  const folder = await mkdtemp(join(tmpdir(), 'mtls-bound-copy-'));
  await cp(join(root, 'packages'), join(folder, 'packages'), { recursive: true, verbatimSymlinks: true });
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  const copyOf = (of) => import(pathToFileURL(join(folder, 'packages', of, 'dist/index.js')).href);
  const copies = { express: await copyOf('express-mtls'), koa: await copyOf('koa-mtls') };
  // Modules that only some options need are loaded later.
  process.on('exit', () => rmSync(folder, { recursive: true }));
  const { createApis, parts } = await apis();
  return (settings) => createApis(settings, fromTwoCopies[name](parts, copies));
}

const fromTwoCopies = {
  sources: (own, copy) => ({
    express: withSourcesOf(own.express, copy.express),
    koa: withSourcesOf(own.koa, copy.koa),
    jwtAccessTokens: copy.express.jwtAccessTokens,
  }),
  policies: (own, copy) => ({
    express: withPoliciesOf(own.express, copy.express),
    koa: withPoliciesOf(own.koa, copy.koa),
    jwtAccessTokens: own.jwtAccessTokens,
  }),
  middleware: (own, copy) => ({
    express: {
      ...own.express,
      mtlsBound: (options) => [copy.express.mtlsBound(options), own.express.mtlsBound(options)],
    },
    koa: {
      ...own.koa,
      mtlsBound: (options) => {
        const [first, second] = [copy.koa.mtlsBound(options), own.koa.mtlsBound(options)];
        return (ctx, next) => first(ctx, () => second(ctx, next));
      },
    },
    jwtAccessTokens: own.jwtAccessTokens,
  }),
};

const withSourcesOf = ({ mtlsBound, requireScopes }, { tlsSocket }) => ({
  mtlsBound: (options) => mtlsBound({ ...options, certificate: tlsSocket() }),
  requireScopes,
});

const withPoliciesOf = ({ mtlsBound, guard }, other) => ({
  mtlsBound,
  requireScopes: (scope) => guard(scopePolicyOf(other)(scope)),
});

process.once('message', async ({ ground, name, settings }) => {
  const servers = (await grounds[ground](name))(settings);
  const ports = {};
  for (const [api, server] of Object.entries(servers)) {
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports[api] = server.address().port;
  }
  process.send({ ports });
  process.once('message', () => process.exit());
});
