import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as coreTelemetry from '@mtls-bound/core/opentelemetry';
import * as coreTesting from '@mtls-bound/core/testing';
import * as expressTelemetry from 'express-mtls/opentelemetry';
import * as expressTesting from 'express-mtls/testing';
import * as koaTelemetry from 'koa-mtls/opentelemetry';
import * as koaTesting from 'koa-mtls/testing';
import { describe, expect, it } from 'vitest';
import { filesUnder } from '../../support/files-under.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const source = join(root, 'packages/core/src');
const files = filesUnder(source).filter((path) => path.endsWith('.ts'));
const text = (path: string): string => readFileSync(join(source, path), 'utf8');

/** What a file needs when it runs; a type is no dependency. */
const imports = (path: string): string[] =>
  [...text(path).matchAll(/^(?:import|export) (?!type )([^;]*?) from '(\.[^']+)\.js';/gms)]
    .filter(([, names = '']) => !/^\{(\s*type \w+,?)+\s*\}$/.test(names))
    .map(([, , target]) => `${normalize(join(dirname(path), target ?? ''))}.ts`);

/** The folders that the code of each folder may import from. Every folder may import from itself, and `errors.ts`. */
const layers: Record<string, readonly string[]> = {
  shared: [],
  token: ['shared'],
  observe: ['shared', 'token'],
  request: ['shared', 'token', 'observe'],
  certificate: ['shared', 'observe', 'request'],
  chain: ['shared', 'observe', 'certificate'],
  'trusted-proxy': ['shared', 'observe', 'request', 'certificate', 'chain'],
  'certificate-status': ['shared', 'observe', 'certificate', 'chain'],
  'certificate-policy': ['shared', 'observe', 'certificate', 'chain', 'certificate-status'],
  confirmation: ['shared', 'token'],
  fapi: ['shared'],
  policy: ['shared', 'token', 'observe', 'certificate', 'certificate-policy'],
  revocation: ['shared', 'token', 'observe', 'request'],
  redis: ['shared'],
  // Keys and algorithms of JOSE, for access tokens, DPoP proofs and Security Event Tokens.
  jose: ['shared'],
  'authorization-server': ['shared', 'token', 'observe', 'jose'],
  dpop: ['shared', 'token', 'observe', 'request', 'jose'],
  cache: ['shared', 'token', 'observe', 'authorization-server'],
  response: ['shared', 'request', 'confirmation'],
  options: [
    'shared',
    'request',
    'certificate',
    'certificate-policy',
    'fapi',
    'jose',
    'authorization-server',
    'cache',
    'response',
    'dpop',
  ],
  signals: ['shared', 'observe', 'request', 'revocation', 'jose', 'authorization-server', 'options'],
  // What both adapters do, over the files of the root.
  adapter: ['.', 'shared', 'observe', 'request', 'policy', 'response', 'signals'],
};

/** The command line tool and the test kit import from every folder, and no folder imports from them. */
const tools = ['testing', 'doctor'];
const folderOf = (path: string): string => dirname(path);

it('no other file imports a file of the tools', () => {
  const isTool = (path: string) => tools.includes(folderOf(path));
  expect(files.filter((path) => !isTool(path) && imports(path).some(isTool))).toEqual([]);
});

it('index.ts alone of the root imports what adapters do', () => {
  const users = files.filter(
    (path) => folderOf(path) !== 'adapter' && imports(path).some((target) => folderOf(target) === 'adapter'),
  );
  expect(users).toEqual(['index.ts']);
});

it('each folder has a layer', () => {
  const folders = new Set(files.map(folderOf).filter((folder) => folder !== '.' && !tools.includes(folder)));
  expect([...folders].toSorted()).toEqual(Object.keys(layers).toSorted());
});

describe.each(Object.entries(layers))('%s', (folder, permitted) => {
  it('imports from its own folder and the layers below it alone', () => {
    const targets = files.filter((path) => folderOf(path) === folder).flatMap(imports);
    const others = targets.filter(
      (target) => target !== 'errors.ts' && ![folder, ...permitted].includes(folderOf(target)),
    );
    expect(others).toEqual([]);
  });
});

it('no layer imports from one that imports from it', () => {
  const pairs = Object.entries(layers).flatMap(([folder, permitted]) =>
    permitted.filter((other) => layers[other]?.includes(folder)).map((other) => `${folder} ${other}`),
  );
  expect(pairs).toEqual([]);
});

it('each file is in the picture of docs/architecture.md, and the picture shows no other', () => {
  const picture = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const shown = [...picture.matchAll(/^([\w-]+(?:\/[\w-]+)?\.ts) {2}/gm)].map(([, path]) => path);
  expect(shown.toSorted()).toEqual(files.toSorted());
});

it('R21: certificates are parsed by node:crypto and @peculiar/x509, never by code of ours', () => {
  const users = (word: string) => files.filter((path) => text(path).includes(word));
  expect(users('X509Certificate(').toSorted()).toEqual([
    'authorization-server/own-certificate.ts',
    'certificate/client-certificate.ts',
    'certificate/parsed-certificate.ts',
    'chain/authorities.ts',
    'chain/path-certificate.ts',
    'doctor/arrival.ts',
    'doctor/input.ts',
    'doctor/probe.ts',
    'doctor/server-checks.ts',
    'shared/pem-certificates.ts',
  ]);
  // For the one reader of an extension that has no class of its own.
  expect(users('asn1').toSorted()).toEqual(['certificate/x509-library.ts']);
});

it('no code uses async hooks: on Node 20 each promise of the process would pay for them', () => {
  const core = filesUnder(join(root, 'packages')).filter((path) => /^[\w-]+\/src\/.*\.ts$/.test(path));
  expect(core.length).toBeGreaterThan(files.length);
  const users = core.filter((path) =>
    /['"](?:node:)?async_hooks['"]/.test(readFileSync(join(root, 'packages', path), 'utf8')),
  );
  expect(users).toEqual([]);
});

it.each(['express-mtls', 'koa-mtls'])('%s imports the public surface of the core alone', (name) => {
  const folder = join(root, 'packages', name, 'src');
  const targets = readdirSync(folder).flatMap((file) =>
    [...readFileSync(join(folder, file), 'utf8').matchAll(/from '([^']+)'/g)].map(
      ([, target = '']) => target,
    ),
  );
  const others = targets.filter((target) => !target.startsWith('./'));
  expect(new Set(others)).toEqual(
    new Set([
      '@mtls-bound/core',
      '@mtls-bound/core/application-exports',
      '@mtls-bound/core/testing',
      '@mtls-bound/core/opentelemetry',
      name === 'koa-mtls' ? 'koa' : 'express',
    ]),
  );
});

it.each([
  ['testing', coreTesting, expressTesting, koaTesting],
  ['opentelemetry', coreTelemetry, expressTelemetry, koaTelemetry],
])('both adapters export what @mtls-bound/core/%s exports', (_entry, ofCore, ofExpress, ofKoa) => {
  expect(Object.keys(ofCore)).not.toEqual([]);
  expect({ ...ofExpress }).toEqual({ ...ofCore });
  expect({ ...ofKoa }).toEqual({ ...ofCore });
});

it('both adapters export the same names', async () => {
  const [express, koa] = await Promise.all([import('express-mtls'), import('koa-mtls')]);
  expect(Object.keys(express).toSorted()).toEqual(Object.keys(koa).toSorted());
  expect(Object.keys(express)).toContain('clientSecretBasic');
});

it('no line of the packages is wider than the formatter makes lines, comments included', () => {
  const { formatter } = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'));
  const wide = filesUnder(join(root, 'packages'))
    .filter((path) => /^[\w-]+\/src\/.*\.ts$/.test(path))
    .flatMap((path) =>
      readFileSync(join(root, 'packages', path), 'utf8')
        .split('\n')
        .flatMap((line, at) => (line.length > formatter.lineWidth ? [`${path}:${at + 1}`] : [])),
    );
  expect(formatter.lineWidth).toBe(110);
  expect(wide).toEqual([]);
});
