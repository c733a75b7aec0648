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

const page = textOf('docs/guides/fleet.md');
const [, alone = ''] = /```js\n[^`]*?(process\.once\('SIGTERM'[\s\S]*?)```/.exec(page) ?? [];
const [, sessions = ''] = /```js\n(const sessions = [\s\S]*?)```/.exec(page) ?? [];

/** The shown end with the two lines that a row of the table adds. */
function shownWith(row: string): string {
  const cells = page.split('\n').find((line) => line.startsWith(`| ${row} |`));
  const [before = '', behind = ''] = [...(cells ?? '').matchAll(/`(for [^`]+)`/g)].map(
    ([, code = '']) => code,
  );
  expect([before, behind]).not.toContain('');
  return alone
    .replace(/^.*server\.close\(/m, (line) => `${before}\n${line}`)
    .replace(/^.*closeAllConnections.*$/m, (line) => `${line}\n${behind}`);
}

/** Runs a server with an end that the page shows. Calls `use` with its port. */
async function runServer(
  shown: string,
  environment: Record<string, string>,
  use: (server: Awaited<ReturnType<typeof start>>) => Promise<void>,
): Promise<void> {
  const elsewhere = createServer();
  const server = await start(shown, { ...environment, ELSEWHERE: String(await listen(elsewhere)) });
  try {
    await use(server);
  } finally {
    server.program.kill('SIGKILL');
    await close(elsewhere);
  }
}

async function start(shown: string, environment: Record<string, string>) {
  expect([shown.includes('10_000'), shown.includes('5_000')]).toEqual([true, true]);
  const program = spawn(
    process.execPath,
    [fileURLToPath(new URL('./shutdown-program.mjs', import.meta.url))],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env.PATH,
        SHOWN: shown.replace('10_000', '1_000').replace('5_000', '1_000'),
        ...environment,
      },
    },
  );
  const exited = once(program, 'exit');
  const [line] = (await once(program.stdout, 'data')) as [Buffer];
  return { program, exited, port: Number(line.toString()) };
}

/** No request, message or event is answered while the process leaves the revocations of its fleet. */
const lastWords = 'closing\nclosed\n';

it('the shown end answers what is under way, and no connection holds it up: idle, half a request, a stream, one of our own', async () => {
  await runServer(alone, {}, async ({ program, exited, port }) => {
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
    const stream = connect(port, '127.0.0.1').on('error', () => undefined);
    stream.write('GET /stream HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(stream, 'data');
    const underWay = ask('/slow');
    await once(program.stdout, 'data');
    const said = text(program.stdout);
    program.kill('SIGTERM');
    expect(await underWay).toBe('answered');
    expect(await exited).toEqual([0, null]);
    // The resource server is closed before the process exits.
    expect(await said).toBe(lastWords);
    half.destroy();
    stream.destroy();
    agent.destroy();
  });
});

it('the shown end ends though the revocations of the fleet can not be left', async () => {
  await runServer(alone, { NEVER_CLOSED: '1' }, async ({ program, exited }) => {
    const said = text(program.stdout);
    program.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(await said).toBe('closing\n');
  });
});

/** A WebSocket whose client sends, and answers no close frame. */
async function openWebSocket(port: number) {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  const key = Buffer.alloc(16).toString('base64');
  socket.write(
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  await once(socket, 'data');
  const message = Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x78]);
  const sending = setInterval(() => socket.writable && socket.write(message), 20);
  socket.on('close', () => clearInterval(sending));
  return socket;
}

it('the shown end ends while a WebSocket is open', async () => {
  await runServer(alone, {}, async ({ program, exited, port }) => {
    const webSocket = await openWebSocket(port);
    const said = text(program.stdout);
    program.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(await said).toMatch(/closed\n$/);
    webSocket.destroy();
  });
});

it('the lines for WebSockets cut off one that its client does not close', async () => {
  const shown = shownWith('the `sockets` of [WebSockets](streams.md#websockets)');
  await runServer(shown, {}, async ({ program, exited, port }) => {
    const webSocket = await openWebSocket(port);
    const said = text(program.stdout);
    program.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(await said).toBe(lastWords);
    webSocket.destroy();
  });
});

it('the shown end answers over HTTP/2 what is under way, and ends while the connection is open', async () => {
  await runServer(alone, { HTTP2: '1' }, async ({ program, exited, port }) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`).on('error', () => undefined);
    const underWay = text(session.request({ ':path': '/slow' }));
    await once(program.stdout, 'data');
    const said = text(program.stdout);
    program.kill('SIGTERM');
    expect(await underWay).toBe('answered');
    expect(await exited).toEqual([0, null]);
    expect(await said).toBe(lastWords);
    session.destroy();
  });
});

it('the lines for HTTP/2 answer what is under way, and cut off a stream that does not end', async () => {
  const shown = `${sessions}${shownWith('HTTP/2')}`;
  await runServer(shown, { HTTP2: '1' }, async ({ program, exited, port }) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`).on('error', () => undefined);
    const ask = (path: string) => session.request({ ':path': path }).on('error', () => undefined);
    await once(ask('/stream'), 'data');
    const underWay = text(ask('/slow'));
    await once(program.stdout, 'data');
    const said = text(program.stdout);
    program.kill('SIGTERM');
    expect(await underWay).toBe('answered');
    expect(await exited).toEqual([0, null]);
    expect(await said).toBe(lastWords);
    session.destroy();
  });
});
