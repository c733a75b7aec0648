// Writes the published ES modules of each package into dist, from what tsc writes into build. Each entry is
// one file, with what several entries share in chunks: Node takes longer to read a hundred small files than
// to run them. Dependencies stay imports.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

for (const name of readdirSync(join(root, 'packages'))) {
  await writeEsModules(join(root, 'packages', name));
}

async function writeEsModules(folder) {
  const dist = join(folder, 'dist');
  for (const file of readdirSync(dist, { recursive: true })) {
    if (file.endsWith('.js') && !file.startsWith('cjs')) {
      rmSync(join(dist, file));
    }
  }
  const { exports, sideEffects } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const entries = Object.values(exports).flatMap((targets) => targets.import?.default ?? []);
  // Named in the manifest, so they keep their paths.
  const withEffects = (sideEffects || []).filter((path) => !path.startsWith('./dist/cjs/'));
  const commands = readdirSync(join(folder, 'bin')).flatMap((file) =>
    [...readFileSync(join(folder, 'bin', file), 'utf8').matchAll(/'\.\.(\/dist\/[^']+)'/g)].map(
      ([, path]) => `.${path}`,
    ),
  );
  await build({
    entryPoints: [...entries, ...withEffects, ...commands].map((path) =>
      join(folder, path.replace('./dist/', 'build/')),
    ),
    outdir: dist,
    outbase: join(folder, 'build'),
    absWorkingDir: folder,
    chunkNames: 'shared/[name]-[hash]',
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
}
