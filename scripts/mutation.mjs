// Breaks the code of each room in many ways and sees whether a test notices (Stryker), a room after the other, each against the
// tests that are about it. Ends well where each score is at least 90 % and docs/maintainers/mutation.md gives a reason for each survivor.
// Arguments: the rooms to try (all), `--write` puts the scores into the page.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const page = join(root, 'docs/maintainers/mutation.md');
const rooms = ['policy', 'response', 'request', 'cache', 'certificate'];
const wanted = rooms.filter((room) => process.argv.includes(room));
const LEAST = 90;

/** Those of a report, with what of each is to be counted and shown. */
function mutantsOf(room) {
  const { files } = JSON.parse(readFileSync(join(root, `reports/mutation-${room}.json`), 'utf8'));
  return Object.entries(files).flatMap(([file, { source, mutants }]) => {
    const lines = source.split('\n');
    return mutants.map(({ status, location: { start, end }, replacement }) => {
      const taken = lines.slice(start.line - 1, end.line).join('\n');
      const text = taken.slice(
        start.column - 1,
        taken.length - (lines[end.line - 1].length - (end.column - 1)),
      );
      return { file: file.replace(/^.*src\//, ''), line: start.line, status, text, replacement };
    });
  });
}

const short = (text) => text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').replaceAll('`', "'").slice(0, 60);

/** How a survivor is listed: without its line, which changes with every line above it. */
const rowOf = ({ file, text, replacement }) =>
  `| \`${file}\` | \`${short(text)}\` | \`${short(replacement)}\` |`;

let failed = false;
const scores = new Map();
for (const room of wanted.length === 0 ? rooms : wanted) {
  const { status } = spawnSync(
    'node_modules/.bin/stryker',
    [
      ...['run', '--mutate', `packages/core/src/${room}/**/*.ts`],
      ...['--incrementalFile', `reports/stryker-${room}.json`],
    ],
    { cwd: root, stdio: 'inherit', env: { ...process.env, MUTATED_ROOM: room } },
  );
  if (status !== 0 || !existsSync(join(root, 'reports/mutation.json'))) {
    failed = true;
    continue;
  }
  writeFileSync(
    join(root, `reports/mutation-${room}.json`),
    readFileSync(join(root, 'reports/mutation.json')),
  );
  const mutants = mutantsOf(room);
  const detected = mutants.filter((one) => one.status === 'Killed' || one.status === 'Timeout').length;
  const survivors = mutants.filter((one) => one.status === 'Survived' || one.status === 'NoCoverage');
  const score = (100 * detected) / (detected + survivors.length);
  scores.set(room, `| \`${room}/\` | ${detected + survivors.length} | ${detected} | ${score.toFixed(1)} % |`);
  const known = readFileSync(page, 'utf8');
  const unexplained = survivors.filter((one) => !known.includes(rowOf(one)));
  for (const one of unexplained) {
    console.log(`${one.file}:${one.line} survives without a reason:\n${rowOf(one)}`);
  }
  failed ||= score < LEAST || unexplained.length > 0;
}
console.log([...scores.values()].join('\n'));
if (process.argv.includes('--write')) {
  const written = [...scores].reduce(
    (text, [room, row]) => text.replace(new RegExp(`^\\| \`${room}/\` \\| \\d.*$`, 'm'), row),
    readFileSync(page, 'utf8'),
  );
  writeFileSync(page, written);
}
process.exitCode = failed ? 1 : 0;
