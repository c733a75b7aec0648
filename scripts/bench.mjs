// `pnpm bench` runs every scenario of bench/, `pnpm bench <name>` one.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bench = join(dirname(dirname(fileURLToPath(import.meta.url))), 'bench');
const scenarios = readdirSync(bench).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -3)] : []));
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !scenarios.includes(name));
if (unknown.length > 0) {
  console.error(`no such scenario: ${unknown.join(', ')}; there are ${scenarios.join(', ')}`);
  process.exit(2);
}
for (const name of wanted.length > 0 ? wanted : scenarios) {
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', join(bench, `${name}.ts`)], {
    stdio: 'inherit',
  });
  if (status !== 0) {
    process.exit(status ?? 1);
  }
}
