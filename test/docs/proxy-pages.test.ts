import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as core from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';

const exported: Readonly<Record<string, unknown>> = { ...core };
const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8');

const pages = readdirSync(`${root}/docs/proxies`).map((name) => ({
  name,
  text: read(`docs/proxies/${name}`),
}));
const shown = pages.flatMap(({ name, text }) =>
  [...text.matchAll(/<!-- file: (\S+) -->\n```\w+\n([\s\S]*?)\n```/g)].map(([, path = '', block]) => ({
    name,
    path,
    block,
  })),
);
const configurations = readdirSync(`${root}/examples/proxies`, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length))
  .map((path) => path.replace(/^\//, ''));

it.each(shown)('$name shows $path as it is run', ({ path, block }) => {
  expect(block).toBe(read(path).trimEnd());
});

it('every configuration is shown by a page', () => {
  expect(configurations.length).toBeGreaterThan(15);
  expect(shown.map(({ path }) => path).toSorted()).toEqual(configurations.toSorted());
});

// A proxy that can set no header of ours; their pages say what to do instead.
const withoutSecret = new Set([
  'examples/proxies/aws-alb/listener.tf',
  'examples/proxies/azure-app-service/enable.sh',
]);

it.each(configurations.filter((path) => !withoutSecret.has(path)))(
  '%s sets the secret beside the certificate',
  (path) => {
    const lines = read(path).split('\n');
    const secrets = lines.flatMap((line, i) => (line.includes('change-this-secret') ? [i] : []));
    const certificates = lines.flatMap((line, i) =>
      /X-SSL-Client-Cert |X-SSL-Client-Cert {2}|X-FAPI-CLIENT-CERT|header_up Client-Cert|X-SSL-Client-Cert %|forward_client_cert|passTLSClientCert|pass-certificate|X-Forwarded-Client-Cert|X-Client-Cert|client certificates/i.test(
        line,
      )
        ? [i]
        : [],
    );
    expect(secrets.length).toBeGreaterThan(0);
    const apart = Math.min(...secrets.flatMap((s) => certificates.map((c) => Math.abs(s - c))));
    expect(apart).toBeLessThanOrEqual(12);
  },
);

describe('every preset has a page that calls it', () => {
  const presets = Object.entries(exported)
    .filter(([name, value]) => typeof value === 'function' && isPreset(name))
    .map(([name]) => name);

  function isPreset(name: string): boolean {
    const made = /export function (\w+)\([^)]*\): ProxyPreset/g;
    return [...read('packages/core/src/certificate/proxies.ts').matchAll(made)].some(
      ([, found]) => found === name,
    );
  }

  it.each(presets)('%s', (name) => {
    const page = pages.find(
      ({ name: file, text }) => file !== 'README.md' && text.includes(`proxyHeader(${name}(`),
    );
    expect(page?.name).toBeDefined();
    expect(pages.find(({ name: file }) => file === 'README.md')?.text).toContain(`\`${name}()\``);
  });

  it('there are all 18', () => {
    expect(presets).toHaveLength(18);
  });
});

it.each(pages)('the calls of $name run', ({ text }) => {
  const calls = [...text.matchAll(/```js\nimport \{ ([^}]+) \} from 'express-mtls';[^\n]*\n([\s\S]*?)```/g)];
  for (const [, names = '', code = ''] of calls) {
    const given: unknown[] = [];
    const process = { env: { PROXY_SECRET: 'a-secret-of-the-proxy' } };
    const mtlsBound = (options: unknown) => given.push(options);
    const imported = names.split(', ').filter((name) => name !== 'mtlsBound');
    const run = new Function('app', 'process', 'mtlsBound', ...imported, code);
    run({ use: () => undefined }, process, mtlsBound, ...imported.map((name) => exported[name]));
    expect(given).toHaveLength(1);
  }
});
