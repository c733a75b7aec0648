// All checks other than the tests. `--fix` corrects what can be corrected.
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const fix = process.argv.includes('--fix');

const checks = {
  'format and lint': ['biome', 'check', ...(fix ? ['--write'] : []), '--error-on-warnings', '.'],
  'types of the packages': ['tsc', '-b'],
  'types of tests and examples': ['tsc', '-p', 'tsconfig.workspace.json'],
  'no unused files, exports and dependencies': ['knip', '--no-config-hints'],
};
const scripts = {
  'subjects of the commits': ['commit-subjects.mjs'],
  'packages as they are published': ['packages.mjs'],
  'every Node with every framework': ['compatibility.mjs'],
  'every bundler, test runner and TypeScript': ['tools.mjs'],
};

const commands = [
  ...Object.entries(checks).map(([name, [command, ...args]]) => [name, `node_modules/.bin/${command}`, args]),
  ...Object.entries(scripts).map(([name, [script]]) => [name, process.execPath, [`scripts/${script}`]]),
];
const failed = commands.filter(([name, command, args]) => {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  console.log(`${status === 0 ? 'ok' : 'FAILED'}: ${name}`);
  return status !== 0;
});
process.exit(failed.length === 0 ? 0 : 1);
