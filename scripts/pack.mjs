// Packs the packages as they are published: `node scripts/pack.mjs FOLDER` builds them and writes their tarballs into the folder. Other
// scripts import its functions.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a program to its end; throws with what it said when that was a bad one. */
export function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status !== 0) {
    throw new Error(`${command} ${args.join(' ')}\n${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`);
  }
  return stdout;
}

/** Gives the tarballs by the name of their package. */
export function pack(folder) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  mkdirSync(folder, { recursive: true });
  const tarballs = {};
  for (const name of readdirSync(join(root, 'packages'))) {
    const cwd = join(root, 'packages', name);
    const manifest = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'));
    run('npx', ['--yes', packageManager, 'pack', '--pack-destination', folder], { cwd });
    const file = `${manifest.name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`;
    tarballs[manifest.name] = join(folder, file);
  }
  return tarballs;
}

/** Installs the tarballs and more into an empty project outside the workspace. No lock file binds them, so no install script runs. */
export function emptyProject(folder, tarballs, more) {
  mkdirSync(folder, { recursive: true });
  const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  run('npm', ['init', '--yes'], { cwd: folder });
  run('npm', [...install, ...Object.values(tarballs), ...more], { cwd: folder });
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [, , folder] = process.argv;
  if (folder === undefined) {
    console.error('usage: node scripts/pack.mjs FOLDER');
    process.exitCode = 1;
  } else {
    run(process.execPath, [join(root, 'scripts/prepare.mjs')]);
    console.log(Object.values(pack(resolve(folder))).join('\n'));
  }
}
