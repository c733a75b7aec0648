import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as core from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
// @ts-expect-error: a script without types
import { differingLines } from '../../scripts/line-diff.mjs';
import { createPki } from '../support/pki.js';

const exported: Readonly<Record<string, unknown>> = { ...core };
const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8');

const pages = readdirSync(`${root}/docs/reference/proxies`).map((name) => ({
  name,
  text: read(`docs/reference/proxies/${name}`),
}));
const shown = pages.flatMap(({ name, text }) =>
  [...text.matchAll(/<!-- file: (\S+) -->\n```\w+\n([\s\S]*?)\n```/g)].map(([, path = '', block]) => ({
    name,
    path,
    block,
  })),
);
/** Configurations that a page shows by the lines in which they differ from one that it shows whole. */
const differing = pages.flatMap(({ name, text }) =>
  [...text.matchAll(/<!-- differs: (\S+) from (\S+) -->\n```diff\n([\s\S]*?)\n```/g)].map(
    ([, path = '', from = '', block]) => ({ name, path, from, block }),
  ),
);
const configurations = readdirSync(`${root}/examples/proxies`, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length))
  .map((path) => path.replace(/^\//, ''));

it.each(shown)('$name shows $path as it is run', ({ path, block }) => {
  expect(block).toBe(read(path).trimEnd());
});

it.each(differing)('$name shows where $path differs from $from', ({ name, path, from, block }) => {
  expect(block).toBe(differingLines(read(from), read(path)));
  expect(shown.filter((one) => one.name === name).map((one) => one.path)).toContain(from);
});

it('differing lines are those of both files, each behind the line before it', () => {
  const from = '# a comment\na\nb\nc\nd\n';
  expect(differingLines(from, '# another\na\nx\ny\nc\n')).toBe(' a\n-b\n+x\n+y\n c\n-d');
  expect(differingLines(from, from)).toBe('');
});

it('the configuration that is wrong on purpose is shown by its lines alone, below a heading that says so', () => {
  const path = 'examples/proxies/nginx/trap.conf';
  const [{ name = '' } = {}] = differing.filter((one) => one.path === path);
  const page = pages.find((one) => one.name === name)?.text ?? '';
  const [, before = ''] = /([\s\S]*)<!-- differs: \S+trap\.conf/.exec(page) ?? [];
  expect(before.match(/^## .+$/gm)?.at(-1)).toBe('## A wrong configuration: do not use it');
  expect(shown.map((one) => one.path)).not.toContain(path);
});

it('the guide shows the API behind NGINX as it is run', () => {
  const guide = read('docs/guides/tls.md');
  for (const [name, language] of Object.entries({
    'own-user.conf': 'nginx',
    'options.mjs': 'js',
    'server.mjs': 'js',
  })) {
    const path = `examples/express-behind-nginx/${name}`;
    expect(guide).toContain(`<!-- file: ${path} -->\n\`\`\`${language}\n${read(path)}\`\`\`\n`);
  }
});

it('every configuration is shown by a page', () => {
  expect(configurations.length).toBeGreaterThan(15);
  const all = [...shown, ...differing].map(({ path }) => path);
  expect(all.toSorted()).toEqual(configurations.toSorted());
});

// Where a line stands: the nearest line above that is indented less opens its block.
function blockOf(lines: readonly string[], index: number): number {
  const indent = (line = ''): number => line.length - line.trimStart().length;
  return lines.findLastIndex(
    (line, i) => i < index && line.trim() !== '' && indent(line) < indent(lines[index]),
  );
}

function blocksThatSet(header: string, text: string): Set<number> {
  const lines = text.split('\n');
  const setting = lines.flatMap((line, i) =>
    !/^\s*(#|--\s)/.test(line) && line.toLowerCase().includes(header.toLowerCase()) ? [i] : [],
  );
  return new Set(setting.map((i) => blockOf(lines, i)));
}

describe('the secret is set in the same block as the certificate', () => {
  it.each([
    ['nginx/nginx.conf', 'X-SSL-Client-Cert'],
    ['nginx/fapi.conf', 'X-FAPI-CLIENT-CERT'],
    ['nginx/unix-socket.conf', 'X-SSL-Client-Cert'],
    ['nginx/mutual-tls-hop.conf', 'X-SSL-Client-Cert'],
    ['nginx/websockets.conf', 'X-SSL-Client-Cert'],
    ['nginx/trap.conf', 'X-SSL-Client-Cert'],
    ['haproxy/haproxy.cfg', 'X-SSL-Client-Cert'],
    ['apache/apache.conf', 'X-SSL-Client-Cert'],
    ['apache/rfc9440.conf', 'Client-Cert'],
    ['caddy/Caddyfile', 'Client-Cert'],
    ['traefik/dynamic.yaml', 'X-Forwarded-Tls-Client-Cert'],
    ['f5/client-certificate.tcl', 'X-Client-Cert'],
    ['kong/kong.yaml', 'X-Client-Cert'],
    ['google-cloud/backend-service.sh', 'X-Client-Cert-Leaf'],
    ['azure-application-gateway/rewrite.sh', 'X-Client-Cert'],
  ])('%s: %s', (path, header) => {
    const text = read(`examples/proxies/${path}`);
    const secrets = [...blocksThatSet('change-this-secret', text)];
    expect(secrets.length).toBeGreaterThan(0);
    expect([...blocksThatSet(header, text)]).toEqual(expect.arrayContaining(secrets));
  });

  // These programs write the certificate header by themselves, nowhere near a header of ours.
  it.each([
    'envoy/envoy.yaml',
    'envoy/mutual-tls-hop.yaml',
    'istio/gateway.yaml',
    'ingress-nginx/ingress.yaml',
    'cloudflare/transform-rule.json',
  ])('%s sets it elsewhere', (path) => {
    expect(read(`examples/proxies/${path}`)).toContain('change-this-secret');
  });

  // These can set no header of ours; their pages say what to do instead.
  it.each(['aws-alb', 'azure-app-service'])('%s can not set one, and its page says so', (name) => {
    expect(read(`docs/reference/proxies/${name}.md`)).toContain('no shared secret');
  });

  it('there is no other configuration', () => {
    expect(configurations).toHaveLength(15 + 5 + 2);
  });
});

describe('no location of NGINX sets a header without setting all of them', () => {
  const locations = (path: string): string[] =>
    [...read(path).matchAll(/^( *)location [^\n]*\n([\s\S]*?)^\1\}/gm)].map(([, , body = '']) => body);
  const complete = (body: string): boolean =>
    ['CLIENT-CERT ', 'X-SSL-Client-Verify ', 'X-Proxy-Secret ', 'X-Forwarded-For '].every((name) =>
      new RegExp(`proxy_set_header +\\S*${name}`, 'i').test(body),
    );

  it.each(configurations.filter((path) => path.endsWith('.conf') && path.includes('/nginx/')))(
    '%s',
    (path) => {
      const found = locations(path);
      expect(found.length).toBeGreaterThan(0);
      // The trap is kept to be shown; this is the fault that it shows.
      expect(found.every(complete)).toBe(!path.endsWith('trap.conf'));
    },
  );
});

describe('every preset has a page that calls it', () => {
  const presets = Object.entries(exported)
    .filter(([name, value]) => typeof value === 'function' && isPreset(name))
    .map(([name]) => name);

  function isPreset(name: string): boolean {
    const made = /export function (\w+)\([^)]*\): ProxyPreset/g;
    return [...read('packages/core/src/trusted-proxy/proxy-presets.ts').matchAll(made)].some(
      ([, found]) => found === name,
    );
  }

  it.each(presets)('%s', (name) => {
    const page = pages.find(
      ({ name: file, text }) => file !== 'README.md' && text.includes(`proxyHeader(${name}(`),
    );
    expect(page?.name).toBeDefined();
  });

  it.each(presets)('the index knows the headers of %s()', (name) => {
    const index = pages.find(({ name: file }) => file === 'README.md')?.text ?? '';
    const row = index.split('\n').find((line) => line.includes(`| \`${name}()\` |`)) ?? '';
    const [, , , header, , verdict] = row
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', '').toLowerCase());
    const make = exported[name] as (options?: object) => core.ProxyPreset;
    const preset = name === 'customHeader' ? make({ header: 'yours', decode: () => undefined }) : make();
    expect(header).toBe(preset.header);
    expect(preset.verdict).toBeUndefined();
    const [, named] = /^by verifyheader: (.+)$/.exec(verdict ?? '') ?? [];
    if (named !== undefined) {
      expect(make({ verifyHeader: named }).verdict?.header).toBe(named);
    } else if (!verdict?.startsWith('by ')) {
      expect(verdict).toBe('none');
    }
  });
});

// In place of the files that the pages name.
const authority = (await createPki()).ca.cert;

it.each(pages)('the calls of $name run', ({ text }) => {
  const calls = [...text.matchAll(/```js\nimport \{ ([^}]+) \} from 'express-mtls';[^\n]*\n([\s\S]*?)```/g)];
  for (const [, names = '', code = ''] of calls) {
    const given: unknown[] = [];
    const process = { env: { PROXY_SECRET: 'a-secret-of-the-proxy' } };
    const mtlsBound = (options: unknown) => given.push(options);
    const imported = names.split(', ').filter((name) => name !== 'mtlsBound');
    const withFiles = code.replaceAll(/(?<=ca: )'[\w-]+\.pem'/g, JSON.stringify(authority));
    const run = new Function('app', 'process', 'mtlsBound', ...imported, withFiles);
    run({ use: () => undefined }, process, mtlsBound, ...imported.map((name) => exported[name]));
    expect(given).toHaveLength(1);
  }
});
