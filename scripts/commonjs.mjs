// Writes dist/cjs of each package: CommonJS for loaders that can't require ES modules, as Jest's can't. Node itself loads the
// ES modules, by import and by require(). A dependency that has ES modules alone is put into dist/cjs/vendor with its licence.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, transformSync } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = 'node20';
const manifestIn = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

for (const folder of readdirSync(join(root, 'packages'))) {
  await writeCommonJs(join(root, 'packages', folder));
}

async function writeCommonJs(folder) {
  const out = join(folder, 'dist/cjs');
  const { dependencies } = manifestIn(folder);
  const esmOnly = Object.keys(dependencies).filter(
    (name) => !name.startsWith('@mtls-bound/') && isEsmOnly(join(folder, 'node_modules', name)),
  );
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out);
  writeFileSync(join(out, 'package.json'), '{ "type": "commonjs" }\n');
  const inputs = [];
  for (const name of esmOnly) {
    inputs.push(...(await bundle(name, folder, join(out, 'vendor', `${name}.js`))));
  }
  if (inputs.length > 0) {
    writeFileSync(join(out, 'vendor/LICENSES.txt'), licencesOf(inputs));
  }
  for (const file of filesIn(folder, 'build', '.js')) {
    const code = readFileSync(join(folder, 'build', file), 'utf8');
    mkdirSync(dirname(join(out, file)), { recursive: true });
    writeFileSync(join(out, file), asCommonJs(code, file, esmOnly));
  }
  for (const file of filesIn(folder, 'dist', '.d.ts')) {
    mkdirSync(dirname(join(out, file)), { recursive: true });
    copyFileSync(join(folder, 'dist', file), join(out, file));
  }
}

/** Without the doctor, which is a command: Node runs it. */
function filesIn(folder, within, ending) {
  return readdirSync(join(folder, within), { recursive: true }).filter(
    (file) => file.endsWith(ending) && !/^(cjs|doctor)\//.test(file),
  );
}

/** Whether a package has ES modules alone. */
function isEsmOnly(folder) {
  const { type, exports } = manifestIn(folder);
  return type === 'module' && !JSON.stringify(exports ?? '').includes('"require"');
}

/** Bundles a dependency, and returns the files that are in the bundle. */
async function bundle(name, resolveDir, outfile) {
  const { metafile } = await build({
    stdin: {
      contents: `export * from '${name}'; import * as all from '${name}'; export default all.default;`,
      resolveDir,
    },
    absWorkingDir: root,
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target,
    metafile: true,
    logLevel: 'error',
  });
  return Object.keys(metafile.inputs);
}

function licencesOf(inputs) {
  const folders = new Set(
    inputs.flatMap((file) => /.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file) ?? []),
  );
  const texts = [...folders].map((folder) => {
    const { name, version, license } = manifestIn(join(root, folder));
    const file = readdirSync(join(root, folder)).find((each) => /^licen[cs]e/i.test(each));
    return `${name} ${version} (${license})\n\n${file === undefined ? '' : readFileSync(join(root, folder, file), 'utf8')}`;
  });
  return texts.join('\n\n----\n\n');
}

function asCommonJs(module, file, esmOnly) {
  // Jest can't import() from CommonJS, so that what is loaded late is required late.
  const supported = { 'dynamic-import': false };
  let { code } = transformSync(module, { format: 'cjs', platform: 'node', target, supported });
  for (const name of esmOnly) {
    const vendored = relative(dirname(file), join('vendor', `${name}.js`));
    const path = vendored.startsWith('.') ? vendored : `./${vendored}`;
    // A late one holds a comment for bundlers.
    const required = new RegExp(`require\\((?:\\s*/\\*[^*]*\\*/)?\\s*"${name}"\\s*\\)`, 'g');
    code = code.replace(required, `require("${path}")`);
  }
  return code;
}
