// Every Node that we support with every Express and Koa, from the packed tarballs. `--write` puts the table into the README,
// `--quick` tries the Node that runs this alone.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { emptyProject, pack, run } from './pack.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const page = join(root, 'docs/reference/compatibility.md');
// Node 24.21 and 26.8 lose the certificates that a client sends with its own: the core keeps them.
const nodes = process.argv.includes('--quick') ? [] : ['20', '22', '24.21', '24', '26.8', '26'];
const frameworks = { express4: 'express@4', express5: 'express@5', koa2: 'koa@2', koa3: 'koa@3' };
const titles = { express4: 'Express 4', express5: 'Express 5', koa2: 'Koa 2', koa3: 'Koa 3' };

const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-compatibility-'));
let failed = 0;
try {
  const project = join(folder, 'project');
  const aliases = Object.entries(frameworks).map(([name, version]) => `${name}@npm:${version}`);
  // The adapters want the frameworks under their own names too.
  emptyProject(project, pack(join(folder, 'tarballs')), [...aliases, 'express@5', 'koa@3']);
  const cell = join(project, 'cell.mjs');
  for (const name of ['cell.mjs', 'sent-chain.mjs']) {
    cpSync(join(root, 'test/integration/packages/empty-project', name), join(project, name));
  }
  const binaries = { [process.version]: process.execPath };
  for (const version of nodes) {
    const own = join(folder, `node${version}`);
    // The package `node` fetches this one by an install script, and install scripts are off.
    const platform = `${process.platform}-${process.arch}`;
    const forPlatform = platform === 'darwin-arm64' ? `node-bin-${platform}` : `node-${platform}`;
    emptyProject(own, {}, [`${forPlatform}@${version}`]);
    const binary = join(own, 'node_modules', forPlatform, 'bin/node');
    binaries[run(binary, ['--version']).trim()] = binary;
  }
  const tried = Object.entries(binaries).map(([version, binary]) => [
    version,
    ...Object.keys(frameworks).map((name) => {
      try {
        const said = run(binary, ['--no-warnings', cell, name], { cwd: project, env: {} });
        if (said !== 'ok') {
          throw new Error(`it said ${said}`);
        }
        return said;
      } catch (error) {
        console.error(`Node ${version}, ${titles[name]}: ${error.message}`);
        failed += 1;
        return 'FAILED';
      }
    }),
  ]);
  tried.sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const head = ['Node', ...Object.values(titles)];
  const table = [line(head), line(head.map(() => '---')), ...tried.map(line)].join('\n');
  console.log(table);
  if (process.argv.includes('--write')) {
    const marked = /(<!-- compatibility -->\n)[\s\S]*?(\n<!-- end of compatibility -->)/;
    writeFileSync(page, readFileSync(page, 'utf8').replace(marked, `$1\n${table}\n$2`));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;
