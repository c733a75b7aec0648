// Publishes the tarballs of a folder: `node scripts/publish.mjs <folder>`, run by the workflow `release.yml`, since provenance
// needs the identity of a workflow. It can be run again after a failure: a package that the registry has already is skipped if
// it is the very same, and is an error otherwise. It uses Node and npm alone, so that no package's code runs with the right to publish.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

// The core first: the adapters depend on it.
const order = ['@mtls-bound/core', 'express-mtls', 'koa-mtls'];

function read(file) {
  const manifest = JSON.parse(
    execFileSync('tar', ['-xzOf', file, 'package/package.json'], { encoding: 'utf8' }),
  );
  const integrity = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
  return { file, name: manifest.name, version: manifest.version, integrity };
}

/** Returns the integrity that the registry has for this version, or `undefined` if the version is not published. */
function publishedIntegrity({ name, version }) {
  const { status, stdout } = spawnSync('npm', ['view', `${name}@${version}`, 'dist.integrity', '--json'], {
    encoding: 'utf8',
  });
  const answer = stdout?.trim() ? JSON.parse(stdout) : undefined;
  if (status === 0) {
    return answer;
  }
  if (answer?.error?.code === 'E404') {
    return undefined;
  }
  throw new Error(`the registry can't be asked about ${name}@${version}`);
}

function publish(folder) {
  const files = readdirSync(folder).filter((file) => file.endsWith('.tgz'));
  const tarballs = files.map((file) => read(resolve(join(folder, file))));
  const sorted = order.map((name) => tarballs.find((tarball) => tarball.name === name));
  if (tarballs.length !== order.length || sorted.includes(undefined)) {
    throw new Error(`expected one tarball each of ${order.join(', ')}, got ${files.join(', ') || 'none'}`);
  }
  // All are compared before one is published: a release that can't be completed is not begun.
  const missing = sorted.filter((tarball) => {
    const published = publishedIntegrity(tarball);
    if (published !== undefined && published !== tarball.integrity) {
      throw new Error(
        `${tarball.name}@${tarball.version} is published with another content: expected ${tarball.integrity}, got ${published}`,
      );
    }
    return published === undefined;
  });
  for (const { name, version } of sorted.filter((tarball) => !missing.includes(tarball))) {
    console.log(`${name}@${version} is published already`);
  }
  for (const { file, name, version } of missing) {
    const { status } = spawnSync('npm', ['publish', file, '--ignore-scripts'], { stdio: 'inherit' });
    if (status !== 0) {
      throw new Error(`${name}@${version} was not published`);
    }
  }
}

try {
  publish(process.argv[2] ?? '.');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
