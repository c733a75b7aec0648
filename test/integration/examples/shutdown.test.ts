import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { close, listen } from '../../support/loopback.js';

const [, shown = ''] =
  /```js\n(process\.once\('SIGTERM'[\s\S]*?)```/.exec(textOf('docs/guides/fleet.md')) ?? [];

it('the shown end answers what is under way, and no connection holds it up: idle, half a request, one of our own', async () => {
  expect(shown).toContain('10_000');
  const elsewhere = createServer();
  const program = spawn(
    process.execPath,
    [fileURLToPath(new URL('./shutdown-program.mjs', import.meta.url))],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env.PATH,
        SHOWN: shown.replace('10_000', '1_000'),
        ELSEWHERE: String(await listen(elsewhere)),
      },
    },
  );
  const exited = once(program, 'exit');
  const agent = new Agent({ keepAlive: true });
  try {
    const [line] = (await once(program.stdout, 'data')) as [Buffer];
    const port = Number(line.toString());
    const ask = (path: string, by?: Agent) =>
      new Promise<string>((resolve, reject) => {
        get({ port, path, host: '127.0.0.1', ...(by && { agent: by }) }, (res: IncomingMessage) =>
          text(res).then(resolve, reject),
        ).on('error', reject);
      });
    expect(await ask('/', agent)).toBe('ok');
    const half = connect(port, '127.0.0.1').on('error', () => undefined);
    half.write('GET / HTTP/1.1\r\nHost: x\r\n');
    const underWay = ask('/slow');
    await once(program.stdout, 'data');
    const lastWords = text(program.stdout);
    program.kill('SIGTERM');
    expect(await underWay).toBe('answered');
    expect(await exited).toEqual([0, null]);
    // The resource server is closed before the process exits.
    expect(await lastWords).toBe('closed\n');
    half.destroy();
  } finally {
    agent.destroy();
    program.kill('SIGKILL');
    await close(elsewhere);
  }
});
