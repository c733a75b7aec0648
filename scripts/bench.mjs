// `npm run bench` runs every scenario of bench/ but the soak, which takes long; `npm run bench <name>` one.
// `--profile=<folder>` leaves a CPU profile of each server there and their shares in the record, `--draw` draws the records that are there.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const bench = join(dirname(dirname(fileURLToPath(import.meta.url))), 'bench');
const scenarios = readdirSync(bench).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -3)] : []));
const usual = scenarios.filter((name) => name !== 'soak');
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const [profiles] = process.argv.flatMap((word) =>
  word.startsWith('--profile=') ? [resolve(word.slice(10))] : [],
);
const unknown = wanted.filter((name) => !scenarios.includes(name));
if (unknown.length > 0) {
  console.error(`no such scenario: ${unknown.join(', ')}; there are ${scenarios.join(', ')}`);
  process.exit(2);
}
if (profiles !== undefined) {
  mkdirSync(profiles, { recursive: true });
}
function run(module, ...args) {
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', join(bench, module), ...args], {
    stdio: 'inherit',
    env: { ...process.env, ...(profiles !== undefined && { BENCH_PROFILE: profiles }) },
  });
  if (status !== 0) {
    process.exit(status ?? 1);
  }
}

const onlyDraw = process.argv.includes('--draw');
for (const name of onlyDraw ? [] : wanted.length > 0 ? wanted : usual) {
  run(`${name}.ts`);
  if (profiles !== undefined) {
    run('harness/profiled.ts', profiles, name);
  }
}
if (process.env.BENCH_RESULTS === undefined) {
  run('harness/redraw.ts');
}
