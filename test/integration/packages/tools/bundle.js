// node bundle.js <job> <file>: bundles main.js, or main.cjs, into one file.
import { execFileSync } from 'node:child_process';
import { basename, dirname } from 'node:path';

const [, , job, file] = process.argv;
// Express requires modules of Node, which a bundle that is an ES module does only with a require().
const banner = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);`;

async function esbuild(format, minify) {
  const { build } = await import('esbuild');
  const entry = format === 'esm' ? 'main.js' : 'main.cjs';
  const js = format === 'esm' ? { banner: { js: banner } } : {};
  await build({
    entryPoints: [entry],
    outfile: file,
    bundle: true,
    platform: 'node',
    format,
    minify,
    logLevel: 'warning',
    ...js,
  });
}

async function webpack() {
  const { default: run } = await import('webpack');
  const stats = await new Promise((resolve, reject) => {
    const output = { path: dirname(file), filename: basename(file) };
    // Not minified: that is shown with esbuild, in a fortieth of the time.
    const optimization = { minimize: false };
    run({ mode: 'production', target: 'node20', entry: './main.cjs', output, optimization }, (error, made) =>
      error ? reject(error) : resolve(made),
    );
  });
  if (stats.hasErrors()) {
    throw new Error(stats.toString('errors-only'));
  }
}

async function rollup() {
  const { rollup: run } = await import('rollup');
  const { default: nodeResolve } = await import('@rollup/plugin-node-resolve');
  const { default: commonjs } = await import('@rollup/plugin-commonjs');
  const { default: json } = await import('@rollup/plugin-json');
  const plugins = [nodeResolve({ preferBuiltins: true, exportConditions: ['node'] }), commonjs(), json()];
  const bundle = await run({ input: 'main.js', plugins, onwarn: () => undefined });
  await bundle.write({ file, format: 'es', inlineDynamicImports: true });
}

function bun() {
  const platform = { arm64: 'aarch64' }[process.arch] ?? process.arch;
  const binary = `../node_modules/@oven/bun-${process.platform}-${platform}/bin/bun`;
  execFileSync(binary, ['build', 'main.js', '--target=node', `--outfile=${file}`], { stdio: 'inherit' });
}

const jobs = {
  'esbuild-esm': () => esbuild('esm', true),
  'esbuild-cjs': () => esbuild('cjs', false),
  webpack,
  rollup,
  bun,
};
await jobs[job]();
