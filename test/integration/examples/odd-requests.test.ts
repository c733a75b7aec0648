import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

// The authorization server runs in a process of its own, as a rejected promise ends a process and not a test.
const program = fileURLToPath(new URL('./authorization-server-alone.ts', import.meta.url));
let server: ReturnType<typeof start>;
let port: number;

function start() {
  return spawn(process.execPath, ['--no-warnings', '--import', 'tsx', program], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

beforeAll(async () => {
  server = start();
  const [line] = (await once(server.stdout, 'data')) as [Buffer];
  port = Number(line.toString());
}, 60_000);
afterAll(() => server.kill('SIGKILL'));

/** Sends the text as it is; resolves with the status, or with `aborted` where the client ends the connection. */
function send(text: string, abort = false): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(text, () => abort && socket.destroy());
    });
    socket.setEncoding('latin1').on('data', (chunk) => {
      answer += chunk;
      socket.end();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer.split(' ')[1] ?? 'aborted'));
  });
}

const request = (line: string, headers = '', body = ''): string =>
  `${line} HTTP/1.1\r\nHost: as.example.com\r\nConnection: close\r\n${headers}\r\n${body}`;
const form = (length: number | string): string =>
  `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${length}\r\n`;
/** A session that oidc-provider gave: the interaction exists, and its form is read. */
const interaction = async (): Promise<{ path: string; cookie: string }> => {
  const pushed = await fetch(`http://127.0.0.1:${port}/begin`);
  return (await pushed.json()) as { path: string; cookie: string };
};

const odd: readonly (readonly [string, string, string, true?])[] = [
  ['an interaction without a cookie', request('GET /interaction/x'), '400'],
  ['an interaction of an unknown uid', request('GET /interaction/x', 'Cookie: _interaction=y\r\n'), '400'],
  ['a form without a cookie', request('POST /interaction/x', form(3), 'a=b'), '400'],
  ['a cookie that is no text', request('GET /interaction/x', 'Cookie: =;;%ff;_interaction=%\r\n'), '400'],
  ['no uid', request('GET /interaction/'), '400'],
  ['a path with a percent alone', request('GET /interaction/%'), '400'],
  ['a path that is a URL', request('GET http://x:y/interaction/x'), '404'],
  ['an unknown path', request('GET /nothing'), '404'],
  ['a method that is not served', request('DELETE /token'), '404'],
  ['a form of the token endpoint that is not encoded', request('POST /token', form(4), '%%%%'), '400'],
  ['a form that is too long', request('POST /token', form(100_000), 'a'.repeat(100_000)), '400'],
  ['JSON in place of a form', request('POST /token', 'Content-Type: application/json\r\n', '{}'), '400'],
  ['a body whose client goes away', request('POST /token', form(10), 'a'), 'aborted', true],
  ['an interaction whose client goes away', request('POST /interaction/x', form(10), 'a'), 'aborted', true],
  ['an authorization request without parameters', request('GET /auth'), '400'],
  ['a request URI that was never pushed', request('GET /auth?client_id=by-san&request_uri=urn:x'), '303'],
  [
    'a certificate header that is no certificate',
    request('POST /token', `${form(16)}X-Proxy-Secret: s\r\nX-FAPI-Client-Cert: %\r\n`, 'client_id=by-san'),
    '500',
  ],
];

it.each(odd.map((row) => [row[0], row] as const))(
  '%s is answered, and the server goes on',
  async (_, row) => {
    const [, text, status, abort] = row;
    expect(await send(text, abort)).toBe(status);
    expect(await send(request('GET /.well-known/openid-configuration'))).toBe('200');
  },
);

it('a login form that is too long is 413, one that breaks off harms no other, and the next is answered', async () => {
  const { path, cookie } = await interaction();
  const line = `POST ${path}`;
  const headers = `Cookie: ${cookie}\r\n`;
  expect(await send(request(line, headers + form(5_000), 'a'.repeat(5_000)))).toBe('413');
  expect(await send(request(line, `${headers}${form(10)}`, 'a'), true)).toBe('aborted');
  expect(await send(request(`GET ${path}`, headers))).toBe('200');
  const login = 'name=ada&password=correct+horse';
  expect(await send(request(line, headers + form(login.length), login))).toBe('303');
  expect(server.exitCode).toBeNull();
});
