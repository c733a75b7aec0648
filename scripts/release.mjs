// Packs a release: `node scripts/release.mjs <the repository's https address> <folder>`, run by the workflow `release.yml`. It
// refuses a tag that is not the version and a commit that is not on main. `--dry-run` shows what would be published.
// `publish.mjs` publishes the tarballs.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { absoluteLinks } from './absolute-links.mjs';
import { pack, run } from './pack.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dryRun = process.argv.includes('--dry-run');
const [address, target] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
// The core first: the adapters depend on it.
const names = ['core', 'express-mtls', 'koa-mtls'];
const manifests = names.map((name) =>
  JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')),
);
const packageNames = new Map(names.map((name, i) => [name, manifests[i].name]));

function problem() {
  const versions = new Set(manifests.map((manifest) => manifest.version));
  const [version] = versions;
  if (address === undefined || !URL.canParse(address)) {
    return 'the address of the repository is missing';
  }
  if (versions.size > 1) {
    return `the packages have several versions: ${[...versions].join(', ')}`;
  }
  if (dryRun) {
    return undefined;
  }
  if (target === undefined) {
    return 'the folder for the tarballs is missing';
  }
  const { GITHUB_REF_TYPE: type, GITHUB_REF_NAME: tag } = process.env;
  if (type !== 'tag' || tag !== `v${version}`) {
    return `expected the tag v${version}, got ${type ?? 'nothing'} ${tag ?? ''}`;
  }
  const onMain = spawnSync('git', ['merge-base', '--is-ancestor', 'HEAD', 'origin/main'], { cwd: root });
  if (onMain.status !== 0) {
    return 'the commit is not on main';
  }
  if (!readFileSync(join(root, 'CHANGELOG.md'), 'utf8').includes(`\n## ${version}\n`)) {
    return `CHANGELOG.md says nothing of ${version}`;
  }
  return undefined;
}

/** npm checks the repository against the workflow's, and leads readers of the package there. */
function stamp(file, name) {
  const described = {
    ...JSON.parse(readFileSync(file, 'utf8')),
    repository: { type: 'git', url: `git+${address}.git`, directory: `packages/${name}` },
    homepage: `${address}#readme`,
    bugs: `${address}/issues`,
  };
  writeFileSync(file, `${JSON.stringify(described, null, 2)}\n`);
  return described;
}

const wrong = problem();
if (wrong !== undefined) {
  console.error(wrong);
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-release-'));
try {
  const tarballs = pack(folder);
  for (const name of names) {
    const unpacked = join(folder, name);
    mkdirSync(unpacked);
    run('tar', ['-xzf', tarballs[packageNames.get(name)], '-C', unpacked]);
    const described = stamp(join(unpacked, 'package/package.json'), name);
    const readme = join(unpacked, 'package/README.md');
    const place = { address, tag: `v${described.version}`, folder: `packages/${name}` };
    writeFileSync(readme, absoluteLinks(readFileSync(readme, 'utf8'), place));
    if (dryRun) {
      console.log(JSON.stringify(described, null, 2));
      continue;
    }
    mkdirSync(target, { recursive: true });
    const where = ['--pack-destination', resolve(target), '--ignore-scripts'];
    run('npm', ['pack', join(unpacked, 'package'), ...where]);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
