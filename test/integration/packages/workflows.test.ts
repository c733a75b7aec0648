import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { root, textOf } from '../../docs/pages.js';

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Record<string, unknown>;
  readonly env?: Record<string, string>;
}
interface Job {
  readonly permissions?: Record<string, string>;
  readonly environment?: string;
  readonly needs?: string[];
  readonly steps: Step[];
}
interface Workflow {
  readonly on: unknown;
  readonly permissions: unknown;
  readonly jobs: Record<string, Job>;
}

const folder = '.github/workflows';
const workflows = readdirSync(`${root}${folder}`).map(
  (file) => [file, parse(textOf(`${folder}/${file}`)) as Workflow] as const,
);
const release = workflows.find(([file]) => file === 'release.yml')?.[1] as Workflow;

it.each(workflows)(
  '%s: read-only at its top, each action by its commit, no pull_request_target',
  (_, flow) => {
    expect(flow.permissions).toEqual({ contents: 'read' });
    expect(JSON.stringify(flow.on)).not.toContain('pull_request_target');
    const steps = Object.values(flow.jobs).flatMap((job) => job.steps);
    const actions = steps.flatMap(({ uses }) => uses ?? []);
    expect(actions.length).toBeGreaterThan(0);
    for (const action of actions) {
      expect(action).toMatch(/^[\w-]+\/[\w./-]+@[0-9a-f]{40}$/);
    }
  },
);

it.each(workflows)('%s: no checkout leaves the token in the work tree', (_, flow) => {
  const steps = Object.values(flow.jobs).flatMap((job) => job.steps);
  const checkouts = steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'));
  expect(checkouts.length).toBeGreaterThan(0);
  for (const checkout of checkouts) {
    expect(checkout.with).toMatchObject({ 'persist-credentials': false });
  }
});

it('the job that packs knows the history of main, and runs no install scripts', () => {
  const steps = release.jobs.pack?.steps ?? [];
  expect(steps[0]?.with).toMatchObject({ 'fetch-depth': 0 });
  const installing = steps.filter(({ run }) => run?.includes('scripts/prepare.mjs'));
  expect(installing.map(({ env }) => env)).toEqual([{ NPM_CONFIG_IGNORE_SCRIPTS: 'true' }]);
});

it('a job may write code scanning results, get an identity or publish the site, and nothing else', () => {
  const granted = workflows.flatMap(([file, { jobs }]) =>
    Object.entries(jobs).flatMap(([job, { permissions = {} }]) =>
      Object.entries(permissions)
        .filter(([, right]) => right !== 'read')
        .map(([name]) => `${file} ${job} ${name}`),
    ),
  );
  expect(granted).toEqual([
    'codeql.yml analyze security-events',
    'release.yml publish id-token',
    'site.yml publish pages',
    'site.yml publish id-token',
  ]);
});

it('the job that may publish waits for tests, checks the tarballs and publishes; it installs and tests nothing', () => {
  const { publish } = release.jobs;
  expect(publish?.environment).toBe('npm');
  expect(publish?.needs).toEqual(['test', 'pack']);
  expect(publish?.steps.flatMap(({ run }) => run ?? [])).toEqual([
    'cd tarballs && echo "$CHECKSUMS" | sha256sum --check --strict',
    'node scripts/publish.mjs tarballs',
  ]);
  expect(publish?.steps.flatMap(({ uses }) => uses?.split('@')[0] ?? [])).toEqual([
    'actions/checkout',
    'actions/setup-node',
    'actions/download-artifact',
  ]);
  // What runs with the right to publish imports Node's own modules alone.
  const imported = [...textOf('scripts/publish.mjs').matchAll(/ from '([^']+)'/g)].map(([, name]) => name);
  expect(imported.filter((name) => !name?.startsWith('node:'))).toEqual([]);
});

it('the job that publishes the site runs one action, and no code of the repository or of a package', () => {
  const publish = workflows.find(([file]) => file === 'site.yml')?.[1].jobs.publish;
  expect(publish?.environment).toBe('github-pages');
  expect(publish?.needs).toEqual(['build']);
  expect(publish?.steps.map(({ uses, run }) => uses?.split('@')[0] ?? run)).toEqual(['actions/deploy-pages']);
});

it('what no lock file binds is installed without install scripts', () => {
  expect(textOf('scripts/pack.mjs')).toContain("'--no-fund', '--ignore-scripts'");
  const installing = readdirSync(`${root}scripts`).filter((file) =>
    /'install'/.test(textOf(`scripts/${file}`)),
  );
  expect(installing.toSorted()).toEqual(['pack.mjs', 'prepare.mjs']);
  expect(textOf('scripts/prepare.mjs')).toContain("'install', '--frozen-lockfile'");
});
