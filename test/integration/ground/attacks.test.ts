// The whole attack table of `npm start`, while the application has changed what the packages stand on.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it, vi } from 'vitest';
import { type RunningApis, startStory } from '../../../examples/story/cast.js';
import { scenes } from '../../../examples/story/scenes.js';

const program = fileURLToPath(new URL('../../support/odd-process.mjs', import.meta.url));

beforeAll(() => {
  // The authorization server reminds of its development defaults.
  vi.spyOn(console, 'info').mockImplementation(() => undefined);
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
});

const grounds: [title: string, ground: string, name: string][] = [
  ['bluebird is the Promise before the packages are loaded', 'before', 'bluebird'],
  ['bluebird is the Promise after the packages are loaded', 'after', 'bluebird'],
  ['es6-promise is the Promise before the packages are loaded', 'before', 'es6-promise'],
  ['es6-promise is the Promise after the packages are loaded', 'after', 'es6-promise'],
  ['a subclass is the Promise before the packages are loaded', 'before', 'a subclass'],
  ['a subclass is the Promise after the packages are loaded', 'after', 'a subclass'],
  ['the packages are evaluated in a vm context', 'realm', ''],
  ['certificate and token sources are of another copy', 'copies', 'sources'],
  ['mtlsBound() of another copy stands before', 'copies', 'middleware'],
  ['policies are of another copy', 'copies', 'policies'],
];

it.concurrent.each(grounds)(
  '%s: good clients get in, attackers do not, no rejection is unhandled',
  async (_title, ground, name) => {
    const apis = startProcess(ground, name);
    const story = await startStory(apis.start);
    const outcomes = [];
    for (const scene of scenes) {
      outcomes.push(await scene(story));
    }
    await story.end();
    // A refusal of another copy is not believed: the same client is refused with 503 instead of 403.
    const seen = (status: unknown) => (name === 'policies' && status === 403 ? 503 : status);
    expect(outcomes.map(({ title, results }) => ({ title, ...results }))).toEqual(
      outcomes.map(({ title, expected: { Express, Koa, JWT } }) => ({
        title,
        Express: seen(Express),
        Koa: seen(Koa),
        JWT: seen(JWT),
      })),
    );
    expect(await apis.ended).toEqual({ code: 0, complaints: '' });
  },
  120_000,
);

function startProcess(ground: string, name: string) {
  const child = fork(program, {
    execArgv: ['--no-warnings', '--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let complaints = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  const ended = once(child, 'close').then(([code]) => ({ code, complaints }));
  const start = async (settings: object): Promise<RunningApis> => {
    child.send({ ground, name, settings });
    const started = once(child, 'message').then(([{ ports }]) => ports);
    const ports = await Promise.race([started, ended.then(({ complaints }) => Promise.reject(complaints))]);
    return {
      ports,
      close: async () => {
        child.send('end');
        await ended;
      },
    };
  };
  return { start, ended };
}
