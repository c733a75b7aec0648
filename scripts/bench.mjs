// `npm run bench` runs every scenario of bench/ but the soak, which takes long; `npm run bench <name>` one.
// `--rounds=<number>` runs more rounds than the scenario does by itself, on a machine with other work.
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
const [rounds] = process.argv.flatMap((word) => (word.startsWith('--rounds=') ? [word.slice(9)] : []));
if (rounds !== undefined && !/^[1-9]\d{0,3}$/.test(rounds)) {
  console.error(`--rounds: expected a number from 1 to 9999, got ${rounds}`);
  process.exit(2);
}
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
    env: {
      ...process.env,
      ...(profiles !== undefined && { BENCH_PROFILE: profiles }),
      ...(rounds !== undefined && { BENCH_ROUNDS: rounds }),
    },
  });
  return status === 0;
}

const onlyDraw = process.argv.includes('--draw');
const failed = [];
for (const name of onlyDraw ? [] : wanted.length > 0 ? wanted : usual) {
  const started = performance.now();
  // One that fails, or keeps no record because the machine is busy, does not prevent the others.
  const isDone = run(`${name}.ts`) && (profiles === undefined || run('harness/profiled.ts', profiles, name));
  console.log(
    `${name}: ${isDone ? 'done' : 'failed'} after ${Math.round((performance.now() - started) / 1000)} s`,
  );
  if (!isDone) {
    failed.push(name);
  }
}
if (process.env.BENCH_RESULTS === undefined && !run('harness/redraw.ts')) {
  process.exit(1);
}
if (failed.length > 0) {
  console.error(`failed; run again: npm run bench ${failed.join(' ')}`);
  process.exit(1);
}
