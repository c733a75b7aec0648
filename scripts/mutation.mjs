// Breaks the code of each security folder in one place at a time and counts how often a unit test notices
// (Stryker). Fails if the score of a folder is below 90 %.
// Arguments: the folders to try (default: all), and options for Stryker, such as `--concurrency 1`.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const LEAST = 90;
const workspace = dirname(dirname(fileURLToPath(import.meta.url)));
const source = 'packages/core/src';
const filesOf = {
  policy: `${source}/policy/**/*.ts`,
  response: `${source}/response/**/*.ts`,
  request: `${source}/request/**/*.ts`,
  token: `${source}/token/**/*.ts`,
  // Stryker takes commas apart, also those within braces.
  certificate: `${source}/certificate/**/*.ts,${source}/trusted-proxy/**/*.ts`,
  chain: `${source}/chain/**/*.ts`,
  'certificate-status': `${source}/certificate-status/**/*.ts`,
  'certificate-policy': `${source}/certificate-policy/**/*.ts`,
  cache: `${source}/cache/**/*.ts`,
  revocation: `${source}/revocation/**/*.ts`,
  confirmation: `${source}/confirmation/**/*.ts`,
  dpop: `${source}/dpop/**/*.ts`,
  // The files at the root of core that decide on a request.
  root: ['admission', 'token-lookup', 'request-checks', 'refusals', 'authorization']
    .map((name) => `${source}/${name}.ts`)
    .join(','),
};

function mutate(folder, options) {
  const report = join(workspace, 'reports/mutation.json');
  rmSync(report, { force: true });
  spawnSync(
    'node_modules/.bin/stryker',
    [
      ...['run', '--mutate', filesOf[folder]],
      ...['--incrementalFile', `reports/stryker-${folder}.json`],
      ...options,
    ],
    { cwd: workspace, stdio: 'inherit', env: { ...process.env, MUTATED_FOLDER: folder } },
  );
  if (!existsSync(report)) {
    throw new Error(`${folder}: Stryker left no report`);
  }
  const { files } = JSON.parse(readFileSync(report, 'utf8'));
  copyFileSync(report, join(workspace, `reports/mutation-${folder}.json`));
  const statuses = Object.values(files).flatMap(({ mutants }) => mutants.map(({ status }) => status));
  const noticed = statuses.filter((status) => status === 'Killed' || status === 'Timeout').length;
  const missed = statuses.filter((status) => status === 'Survived' || status === 'NoCoverage').length;
  return { mutants: noticed + missed, noticed, score: (100 * noticed) / (noticed + missed) };
}

const arguments_ = process.argv.slice(2);
const named = Object.keys(filesOf).filter((folder) => arguments_.includes(folder));
const options = arguments_.filter((argument) => !named.includes(argument));
const rows = [];
for (const folder of named.length === 0 ? Object.keys(filesOf) : named) {
  const { mutants, noticed, score } = mutate(folder, options);
  rows.push(`| \`${folder}\` | ${mutants} | ${noticed} | ${score.toFixed(1)} % |`);
  if (!(score >= LEAST)) {
    console.error(`${folder}: expected a score of at least ${LEAST} %, got ${score.toFixed(1)} %.`);
    process.exitCode = 1;
  }
}
console.log(rows.join('\n'));
