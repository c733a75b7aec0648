// Every bundler, test runner and TypeScript that the README names, with the packed tarballs: bundles and tests run two APIs over
// real TLS, where the good client gets in and another one does not. `--write` puts the table into the README; `--only=NAME` runs
// the cells whose names begin so.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { emptyProject, pack, run } from './pack.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const file = join(root, 'docs/reference/compatibility.md');
const sources = join(root, 'test/integration/packages/tools');
const versions = JSON.parse(readFileSync(join(sources, 'versions.json'), 'utf8'));
const only = process.argv.find((each) => each.startsWith('--only='))?.slice('--only='.length) ?? '';

const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-tools-'));
const project = join(folder, 'project');
const bundles = join(folder, 'bundles');
const environment = {
  ...process.env,
  PEM_FOLDER: join(folder, 'pem'),
  NEXT_TELEMETRY_DISABLED: '1',
  CI: 'true',
};
// What the workspace runs under says nothing of these.
for (const name of ['NODE_ENV', 'NODE_OPTIONS', 'NODE_PATH', 'VITEST']) {
  delete environment[name];
}

/** Runs a program of the project to its end. Resolves with what it writes; rejects with that if it fails or runs too long. */
function start(cwd, args, more = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd, env: { ...environment, ...more }, timeout: 240_000 });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
    }
    child.on('error', reject).on('close', (status) => {
      if (status === 0) {
        resolve(said);
      } else {
        reject(new Error(said || `ended with status ${status}`));
      }
    });
  });
}

const tool = (path) => join(project, 'node_modules', path);
const inProject = (name) => join(project, name);

/** The program must say ok, lest one that does nothing passes. */
async function expectOk(cwd, file) {
  const said = await start(cwd, ['--no-warnings', file]);
  if (!said.trim().endsWith('ok')) {
    throw new Error(`expected ok, got ${said}`);
  }
}

async function bundle(job, extension) {
  const file = join(bundles, `${job}.${extension}`);
  await start(inProject('esm'), ['bundle.js', job, file]);
  await expectOk(bundles, file);
}

async function jest(transform) {
  const cwd = inProject(transform === 'esm' ? 'esm' : 'cjs');
  const modules = transform === 'esm' ? { NODE_OPTIONS: '--experimental-vm-modules' } : {};
  expectTests(await start(cwd, [tool('jest/bin/jest.js')], { JEST: transform, ...modules }));
}

/** Each runner says in its own words that three tests passed. */
function expectTests(said) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one.
  if (!/3 passed|3 passing|pass 3/.test(said.replace(/\u001b\[[\d;]*m/g, ''))) {
    throw new Error(`expected three tests that passed, got ${said}`);
  }
}

async function compile(compiler, module, resolution, ...files) {
  const options = [
    ...['--noEmit', '--strict', '--skipLibCheck', '--exactOptionalPropertyTypes', '--esModuleInterop'],
    ...['--target', 'es2022', '--types', 'node', '--module', module, '--moduleResolution', resolution],
  ];
  await start(inProject('types'), [tool(`${compiler}/bin/tsc`), ...options, ...files]);
}

const both = ['consumer.mts', 'consumer.cts'];
const beside = 'nodenext';
// The longest first: two run at a time.
const cells = {
  'Next build': async () => {
    await start(inProject('next'), [tool('next/dist/bin/next'), 'build']);
    await expectOk(inProject('next'), 'main.js');
  },
  'Nest build': async () => {
    await start(inProject('nest'), [tool('@nestjs/cli/bin/nest.js'), 'build']);
    const said = await start(inProject('nest'), [
      tool('vitest/vitest.mjs'),
      ...['run', '--dir', 'dist', '--testTimeout=60000', '--hookTimeout=60000', '--reporter=tap-flat'],
    ]);
    for (const name of ['accounts', 'main', 'placement']) {
      if (!said.includes(`- dist/${name}.spec.js > `)) {
        throw new Error(`expected tests of ${name}.spec.js, got ${said}`);
      }
    }
  },
  'webpack, CommonJS': () => bundle('webpack', 'cjs'),
  'rollup, ES module': () => bundle('rollup', 'mjs'),
  'Jest, ts-jest': () => jest('ts'),
  'Jest, babel-jest': () => jest('babel'),
  'Jest, @swc/jest': () => jest('swc'),
  'Jest, ES modules': () => jest('esm'),
  'esbuild, ES module': () => bundle('esbuild-esm', 'mjs'),
  'esbuild, CommonJS': () => bundle('esbuild-cjs', 'cjs'),
  'Bun, ES module': () => bundle('bun', 'mjs'),
  vitest: async () =>
    expectTests(
      await start(inProject('esm'), [
        tool('vitest/vitest.mjs'),
        ...['run', '--globals', '--testTimeout=60000', 'runner.test.js'],
      ]),
    ),
  mocha: async () =>
    expectTests(
      await start(inProject('esm'), [tool('mocha/bin/mocha.js'), '--timeout', '60000', 'runner.test.js']),
    ),
  'node:test': async () => expectTests(await start(inProject('esm'), ['--test', 'node-test.js'])),
  'TypeScript 5.0, commonjs and node10': () => compile('typescript50', 'commonjs', 'node10', 'consumer.ts'),
  'TypeScript 5.0, node16': () => compile('typescript50', 'node16', 'node16', ...both),
  'TypeScript 5.0, bundler': () => compile('typescript50', 'esnext', 'bundler', 'consumer.ts'),
  'TypeScript 5.9, commonjs and node10': () => compile('typescript', 'commonjs', 'node10', 'consumer.ts'),
  'TypeScript 5.9, nodenext': () => compile('typescript', 'nodenext', 'nodenext', ...both),
  'TypeScript 5.9, bundler': () => compile('typescript', 'esnext', 'bundler', 'consumer.ts'),
  'TypeScript 7.0, node16': () => compile('typescript7', 'node16', 'node16', ...both),
  'TypeScript 7.0, nodenext': () => compile('typescript7', 'nodenext', 'nodenext', ...both),
  'TypeScript 7.0, bundler': () => compile('typescript7', 'esnext', 'bundler', 'consumer.ts'),
  'TypeScript 5.9, beside the MCP SDK': () => compile('typescript', beside, beside, 'beside-others.mts'),
  'TypeScript 5.9, beside express-oauth2-jwt-bearer': () =>
    compile('typescript', beside, beside, 'beside-jwt-bearer.mts'),
};

function prepare() {
  const { bun, ...groups } = versions;
  const platform = { arm64: 'aarch64' }[process.arch] ?? process.arch;
  const tools = {
    ...Object.assign({}, ...Object.values(groups)),
    [`@oven/bun-${process.platform}-${platform}`]: bun,
  };
  // One after the other: npm pack and npm install write to the same cache.
  const tarballs = pack(join(folder, 'tarballs'));
  emptyProject(
    project,
    tarballs,
    Object.entries(tools).map(([name, version]) => `${name}@${version}`),
  );
  const files = ['authorization-server.js', 'checks.js', 'runner.test.js', 'jest.config.cjs'];
  const copy = (target, ...names) => {
    for (const name of names) {
      cpSync(join(sources, name), join(project, target, name), { recursive: true });
    }
  };
  copy('esm', ...files, 'bundle.js', 'main.js', 'main.cjs', 'node-test.js');
  copy('cjs', ...files);
  copy('.', 'next', 'nest', 'types');
  copy('next', 'authorization-server.js');
  copy('nest/src', 'authorization-server.js');
  for (const extension of ['mts', 'cts']) {
    cpSync(inProject('types/consumer.ts'), inProject(`types/consumer.${extension}`));
  }
  for (const name of ['esm', 'cjs', 'next', 'nest', 'types']) {
    const type = name === 'cjs' ? 'commonjs' : 'module';
    writeFileSync(join(project, name, 'package.json'), JSON.stringify({ name, private: true, type }));
  }
  // They look for their packages in their own folder.
  symlinkSync(join(project, 'node_modules'), inProject('next/node_modules'));
  mkdirSync(bundles);
  mkdirSync(environment.PEM_FOLDER);
  for (const [name, subject] of [
    ['localhost', 'localhost'],
    ['good', 'client'],
    ['other', 'client'],
  ]) {
    const file = (suffix) => join(environment.PEM_FOLDER, `${name}${suffix}.pem`);
    run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-keyout', file('-key'), '-out', file(''), '-subj', `/CN=${subject}`],
      ...['-addext', 'subjectAltName=DNS:localhost', '-addext', 'extendedKeyUsage=serverAuth,clientAuth'],
    ]);
  }
}

/** What the README says of the tools, by the versions that are tried. */
function table() {
  const { bundlers, runners, frameworks, bun, types } = versions;
  const row = (what, ...named) => `| ${what} | ${named.join(', ')} |`;
  return [
    row('', 'tried with each change'),
    '| --- | --- |',
    row(
      'Bundlers',
      `esbuild ${bundlers.esbuild} (ES module, CommonJS)`,
      `webpack ${bundlers.webpack}`,
      `rollup ${bundlers.rollup}`,
      `Bun ${bun}`,
    ),
    row('Frameworks that build', `Next ${frameworks.next}`, `Nest ${frameworks['@nestjs/core']}`),
    row(
      'Test runners',
      `Jest ${runners.jest} (CommonJS by babel-jest, ts-jest and @swc/jest; ES modules)`,
      `vitest ${runners.vitest}`,
      `mocha ${runners.mocha}`,
      'node:test',
    ),
    row(
      'TypeScript, strict',
      ...['typescript50', 'typescript', 'typescript7'].map((name) => types[name].replace(/.*@/, '')),
      'by `module` or `moduleResolution` node10, node16, nodenext and bundler',
    ),
  ].join('\n');
}

const marked = /(<!-- tools -->\n)[\s\S]*?(\n<!-- end of tools -->)/;
const page = readFileSync(file, 'utf8');
const wanted = page.replace(marked, `$1\n${table()}\n$2`);
if (process.argv.includes('--write')) {
  writeFileSync(file, wanted);
} else if (wanted !== page) {
  console.error('docs/reference/compatibility.md names other tools: node scripts/tools.mjs --write');
  process.exitCode = 1;
}

try {
  const began = Date.now();
  prepare();
  console.log(`installed in ${Math.round((Date.now() - began) / 1000)} s`);
  const waiting = Object.entries(cells).filter(([name]) => name.startsWith(only));
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, cell] = next;
      const from = Date.now();
      try {
        await cell();
        console.log(`ok: ${name} (${Math.round((Date.now() - from) / 1000)} s)`);
      } catch (error) {
        console.error(`FAILED: ${name}\n${error.message.slice(0, 4_000)}`);
        process.exitCode = 1;
      }
    }
  };
  await Promise.all([worker(), worker()]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
