// Makes a fresh clone ready on a machine that has only Node and npm: installs what the lock file names, then builds.
// Does nothing that is already done.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const marker = join(root, 'node_modules', '.installed-lock-file');

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    process.exit(status ?? 1);
  }
}

const lockFile = createHash('sha256')
  .update(readFileSync(join(root, 'pnpm-lock.yaml')))
  .digest('hex');
if (!existsSync(marker) || readFileSync(marker, 'utf8') !== lockFile) {
  run('npx', ['--yes', packageManager, 'install', '--frozen-lockfile', '--reporter=append-only']);
  writeFileSync(marker, lockFile);
}
if (!process.argv.includes('--install-only')) {
  // tsc does not look for what it wrote: a build that is gone is made again.
  const isGone = readdirSync(join(root, 'packages')).some(
    (name) => !existsSync(join(root, 'packages', name, 'build')),
  );
  const force = isGone ? ['--force'] : [];
  run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b', ...force]);
  run(process.execPath, [join(root, 'scripts', 'es-modules.mjs')]);
  run(process.execPath, [join(root, 'scripts', 'commonjs.mjs')]);
}
