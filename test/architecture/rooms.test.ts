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

const root = fileURLToPath(new URL('../..', import.meta.url));
const source = join(root, 'packages/core/src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('.ts'),
);
const text = (path: string): string => readFileSync(join(source, path), 'utf8');

/** What a file needs when it runs; a type is no dependency. */
const imports = (path: string): string[] =>
  [...text(path).matchAll(/^(?:import|export) (?!type )([^;]*?) from '(\.[^']+)\.js';/gms)]
    .filter(([, names = '']) => !/^\{(\s*type \w+,?)+\s*\}$/.test(names))
    .map(([, , target]) => `${normalize(join(dirname(path), target ?? ''))}.ts`);

const open = new Set([
  'errors.ts',
  'shown-url.ts',
  'option-rules.ts',
  'agreed-claims.ts',
  'token-claims.ts',
  'token-defect.ts',
  'observe/events.ts',
  'observe/hearing.ts',
  'circuit-breaker.ts',
  'asker.ts',
  'authorization-server/shown-error.ts',
  'token-identity.ts',
  'interaction.ts',
  'authorization.ts',
  'http2-request.ts',
  'own-member.ts',
  'nesting.ts',
  'media-type.ts',
  'revocation-forms.ts',
  'unwaited.ts',
  'policy/binding.ts',
  'policy/route-policy.ts',
  'request/header-lines.ts',
  'request/request-body.ts',
]);
const hallways = new Set([
  'index.ts',
  'resource-server.ts',
  'unguarded.ts',
  'explanation.ts',
  'options.ts',
  'issuer-options.ts',
  'cache-options.ts',
  'tls-options.ts',
  'judge.ts',
  'shared-signals.ts',
  'signal-options.ts',
]);

/** Tools stand beside the house: they look into every room, and no room knows of them. */
const isTool = (path: string): boolean => ['testing', 'doctor'].includes(dirname(path));

it('no file of the house knows the tools', () => {
  expect(files.filter((path) => !isTool(path) && imports(path).some(isTool))).toEqual([]);
});

describe.each(files.filter((path) => !hallways.has(path) && !isTool(path)))('%s', (path) => {
  it('knows its own room and the open ones alone', () => {
    expect(imports(path).filter((target) => dirname(target) !== dirname(path) && !open.has(target))).toEqual(
      [],
    );
  });
});

it('each file is in the picture of docs/architecture.md, and the picture shows no other', () => {
  const picture = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const shown = [...picture.matchAll(/^([\w-]+(?:\/[\w-]+)?\.ts) {2}/gm)].map(([, path]) => path);
  expect(shown.toSorted()).toEqual(files.toSorted());
});

it('R21: certificates are parsed by node:crypto and @peculiar/x509, never by code of ours', () => {
  const users = (word: string) => files.filter((path) => text(path).includes(word));
  expect(users('X509Certificate(').toSorted()).toEqual([
    'authorization-server/client-identity.ts',
    'certificate/client-certificate.ts',
    'certificate/parsed.ts',
    'doctor/arrival.ts',
    'doctor/input.ts',
    'doctor/probe.ts',
    'doctor/server-checks.ts',
    'option-rules.ts',
  ]);
  // The one reader of an extension that has no class of its own.
  expect(users('asn1').toSorted()).toEqual(['certificate/psd2.ts']);
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
