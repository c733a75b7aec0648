import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { close, listen } from '../../support/loopback.js';

const [, shown = ''] =
  /```js\n(process\.once\('SIGTERM'[\s\S]*?)```/.exec(textOf('docs/guides/fleet.md')) ?? [];

/** Runs a server with the end that the page shows. Calls `use` with its port. */
async function runServer(
  environment: Record<string, string>,
  use: (server: Awaited<ReturnType<typeof start>>) => Promise<void>,
): Promise<void> {
  const elsewhere = createServer();
  const server = await start({ ...environment, ELSEWHERE: String(await listen(elsewhere)) });
  try {
    await use(server);
  } finally {
    server.program.kill('SIGKILL');
    await close(elsewhere);
  }
}

async function start(environment: Record<string, string>) {
  expect(shown).toContain('10_000');
  const program = spawn(
    process.execPath,
    [fileURLToPath(new URL('./shutdown-program.mjs', import.meta.url))],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, SHOWN: shown.replace('10_000', '1_000'), ...environment },
    },
  );
  const exited = once(program, 'exit');
  const [line] = (await once(program.stdout, 'data')) as [Buffer];
  return { program, exited, port: Number(line.toString()) };
}

it('the shown end answers what is under way, and no connection holds it up: idle, half a request, one of our own', async () => {
  await runServer({}, async ({ program, exited, port }) => {
    const agent = new Agent({ keepAlive: true });
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
    agent.destroy();
  });
});

it('the shown end ends while a WebSocket is open', async () => {
  await runServer({}, async ({ program, exited, port }) => {
    const webSocket = connect(port, '127.0.0.1').on('error', () => undefined);
    webSocket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await once(webSocket, 'data');
    const lastWords = text(program.stdout);
    program.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(await lastWords).toBe('closed\n');
    webSocket.destroy();
  });
});

it('the shown end answers over HTTP/2 what is under way, and ends while the connection is open', async () => {
  await runServer({ HTTP2: '1' }, async ({ program, exited, port }) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`).on('error', () => undefined);
    const underWay = text(session.request({ ':path': '/slow' }));
    await once(program.stdout, 'data');
    const lastWords = text(program.stdout);
    program.kill('SIGTERM');
    expect(await underWay).toBe('answered');
    expect(await exited).toEqual([0, null]);
    expect(await lastWords).toBe('closed\n');
    session.destroy();
  });
});
