// What it takes to be there: the time to import each package in a new process, and the bytes that its installation takes.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { closeScenario } from './harness/close.js';
import { pinned } from './harness/cores.js';
import { installedSize } from './harness/installed-size.js';
import { ratioOf, summaryOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';

const packages = [
  'express-mtls',
  'koa-mtls',
  'express-oauth2-jwt-bearer',
  'jose',
  'oauth4webapi',
  'express',
  'koa',
];
const here = fileURLToPath(new URL('.', import.meta.url));

/** Milliseconds. In the new process's own time, for Node's own start is nobody's merit. */
function importTime(name: string): { milliseconds: number } {
  const program = `const start = performance.now(); await import('${name}'); console.log(performance.now() - start);`;
  const [command, ...args] = pinned('server', [process.execPath, '--input-type=module', '--eval', program]);
  const { stdout, stderr, status } = spawnSync(command, args, { cwd: here, encoding: 'utf8' });
  if (status !== 0) {
    throw new Error(`${name} can't be imported: ${stderr}`);
  }
  return { milliseconds: Number(stdout) };
}

const samples = await takeTurns(
  'start-up',
  Object.fromEntries(packages.map((name) => [name, () => importTime(name)])),
  { rounds: 9 },
);
const sizes = new Map(packages.map((name) => [name, installedSize(name, here)]));
const size = (name: string) => sizes.get(name)?.bytes ?? Number.NaN;
const time = (name: string) => samples.of(name, 'milliseconds');
closeScenario({
  scenario: 'start-up',
  unit: 'milliseconds to import',
  rounds: samples.rounds,
  contestants: Object.fromEntries(
    packages.map((name) => [
      name,
      {
        ...summaryOf(time(name)),
        installedKilobytes: Math.round(size(name) / 1000),
        installedPackages: sizes.get(name)?.packages,
      },
    ]),
  ),
  ratios: {
    'import time, express-mtls / express': ratioOf(time('express-mtls'), time('express'), { max: 1.5 }),
    'import time, express-mtls / express-oauth2-jwt-bearer': ratioOf(
      time('express-mtls'),
      time('express-oauth2-jwt-bearer'),
      { max: 3 },
    ),
  },
});
