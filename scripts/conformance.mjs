// Runs the conformance modules against Express and Koa, with Node ending TLS and through NGINX, and prints what came of each.
// `--json` for machines; `--write` puts the table into docs/security/conformance.md.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-conformance-'));
const report = join(folder, 'report.json');
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    'test/integration/conformance',
    '--silent',
    '--reporter=json',
    `--outputFile=${report}`,
  ],
  { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
);
const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
rmSync(folder, { recursive: true });

const columns = ['Express', 'Koa', 'Express, NGINX', 'Koa, NGINX'];
const source = readFileSync(join(root, 'test/integration/conformance/modules.ts'), 'utf8');
const rowsOf = (name) => {
  const found = new RegExp(`'${name}',?\\s*(?:rows: )?'([RS0-9b ]+)'`).exec(source);
  return found?.[1] ?? (name.startsWith('rs-cnf-malformed') ? 'R7' : '');
};

const outcomes = new Map();
for (const { title, ancestorTitles, status: outcome } of testResults.flatMap(
  (file) => file.assertionResults,
)) {
  if (title.startsWith('rs-')) {
    const place = ancestorTitles.join(' ');
    const framework = place.includes('Koa') ? 'Koa' : 'Express';
    const column = place.includes('NGINX') ? `${framework}, NGINX` : framework;
    outcomes.set(title, { ...outcomes.get(title), [column]: outcome });
  }
}
const modules = [...outcomes].map(([name, results]) => ({ name, rows: rowsOf(name), results }));

if (process.argv.includes('--json')) {
  console.log(JSON.stringify({ passed: status === 0, columns, modules }, null, 2));
} else {
  const lines = [
    `| module | rows | ${columns.join(' | ')} |`,
    `| --- | --- | ${columns.map(() => '---').join(' | ')} |`,
    ...modules.map(
      ({ name, rows, results }) =>
        `| \`${name}\` | ${rows} | ${columns.map((column) => results[column] ?? 'skipped').join(' | ')} |`,
    ),
  ];
  console.log(lines.join('\n'));
  if (process.argv.includes('--write')) {
    const page = join(root, 'docs/security/conformance.md');
    const text = readFileSync(page, 'utf8').replace(
      /(<!-- modules -->\n)[\s\S]*(<!-- \/modules -->)/,
      (_all, start, end) => `${start}\n${lines.join('\n')}\n\n${end}`,
    );
    writeFileSync(page, text);
  }
}
process.exit(status ?? 1);
