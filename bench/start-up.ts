// What it takes to be there: the time to import each package in a new process, and the bytes that its installation takes.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { closeScenario, noiseOf } from './harness/close.js';
import { pinned } from './harness/cores.js';
import { installedSize } from './harness/installed-size.js';
import { summaryOf, timeRatioOf, timeSummary } from './harness/record.js';
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
/** Once more, to see the noise of the machine. */
const again = 'express again';
const here = fileURLToPath(new URL('.', import.meta.url));

/** Of processor, and of the clock. Without Node's own start, which takes as long whatever is imported. */
function importTime(name: string): { processor: number; milliseconds: number } {
  const program = `const start = performance.now();
    const before = process.cpuUsage();
    await import('${name}');
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify({ processor: (user + system) / 1000, milliseconds: performance.now() - start }));`;
  const [command, ...args] = pinned('server', [process.execPath, '--input-type=module', '--eval', program]);
  const { stdout, stderr, status } = spawnSync(command, args, { cwd: here, encoding: 'utf8' });
  if (status !== 0) {
    throw new Error(`${name} can't be imported: ${stderr}`);
  }
  return JSON.parse(stdout) as ReturnType<typeof importTime>;
}

const samples = await takeTurns(
  'start-up',
  Object.fromEntries([
    ...packages.map((name) => [name, () => importTime(name)] as const),
    [again, () => importTime('express')] as const,
  ]),
  { rounds: 21 },
);
const sizes = new Map(packages.map((name) => [name, installedSize(name, here)]));
const size = (name: string) => sizes.get(name)?.bytes ?? Number.NaN;
const time = (name: string) => samples.of(name, 'processor');
closeScenario(
  {
    scenario: 'start-up',
    unit: 'milliseconds of processor to import',
    rounds: samples.rounds,
    contestants: Object.fromEntries(
      packages.map((name) => [
        name,
        {
          ...timeSummary(time(name)),
          milliseconds: summaryOf(samples.of(name, 'milliseconds')).median,
          installedKilobytes: Math.round(size(name) / 1000),
          installedPackages: sizes.get(name)?.packages,
        },
      ]),
    ),
    ratios: {
      'express-mtls / express': timeRatioOf(time('express-mtls'), time('express'), { max: 1.1 }),
      'koa-mtls / express': timeRatioOf(time('koa-mtls'), time('express'), { max: 1.1 }),
      'express-mtls / express-oauth2-jwt-bearer': timeRatioOf(
        time('express-mtls'),
        time('express-oauth2-jwt-bearer'),
        { max: 3 },
      ),
    },
  },
  { 'express again / express': noiseOf(time(again), time('express')) },
);
