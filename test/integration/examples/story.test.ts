import { exec, execFile, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { itReal } from '../../support/programs.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const story = ['--no-warnings', '--import', 'tsx', 'examples/story/main.ts'];

const linesOf = (text: string) => text.trim().split(/ *\n/);

describe('npm start', () => {
  it('prints which requests are accepted and which are refused, as the README shows, and exits with 0', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, story, { cwd: root });
    expect(stdout).toContain('All 18 answers are as expected.');
    expect(stdout).toMatch(
      /Bob, with Alice's stolen token and his certificate +401 refused +401 refused +401 refused/,
    );
    for (const what of ["the phone's stolen token and his key", "a copy of the phone's last request"]) {
      expect(stdout).toMatch(new RegExp(`Bob, with ${what} +401 refused +401 refused +401 refused`));
    }
    expect(stdout).not.toContain('✗');
    const [, shown = ''] = /```text\n(.*?)```/s.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
    expect(linesOf(shown)).toEqual(linesOf(stdout));
  });

  itReal(
    'curl',
    '--serve prints curl commands, and an environment for an API of your own, that work as pasted',
    async () => {
      const program = spawn(process.execPath, [...story, '--serve'], { cwd: root });
      let printed = '';
      program.stdout.setEncoding('utf8').on('data', (chunk) => {
        printed += chunk;
      });
      try {
        while (!printed.includes('Ctrl-C')) {
          await once(program.stdout, 'data');
        }
        const commands = printed.split('\n').filter((line) => line.startsWith('curl '));
        const answers = [];
        for (const command of commands) {
          const { stdout } = await promisify(exec)(command);
          answers.push(
            stdout.startsWith('HTTP/') ? stdout.split(' ')[1] : Object.keys(JSON.parse(stdout))[0],
          );
        }
        expect(answers).toEqual([
          '200',
          '401',
          '401',
          '200',
          '401',
          '401',
          '200',
          '401',
          '401',
          'access_token',
          'access_token',
        ]);

        // An interactive zsh runs # as a command, and a quote in such a line swallows the lines after it.
        expect(printed).not.toMatch(/^#/m);
        // Getting started uses the first three parts after the nine calls in this order, and the migration guide the last one.
        const parts = printed.match(/^(?:cp|export|curl)(?= )/gm) ?? [];
        expect(parts.slice(9)).toEqual(['cp', 'cp', ...Array(7).fill('export'), 'curl', 'curl']);

        // The guide has the reader copy Alice's certificate and key into the folder of the API.
        const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-copied-'));
        const copies = printed.split('\n').filter((line) => line.startsWith('cp '));
        await promisify(exec)(copies.join('\n'), { cwd: folder });
        const copied = ['client.pem', 'client.key'].map((name) => readFileSync(join(folder, name), 'utf8'));
        rmSync(folder, { recursive: true });
        const [certificate = '', key = ''] = copied;
        expect(new X509Certificate(certificate).subject).toContain('CN=alice');
        expect(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))).toBe(true);

        const lines = printed.split('\n').filter((line) => line.startsWith('export '));
        const start = `${lines.join('\n')}\nexec '${process.execPath}' examples/express/server.js`;
        const own = spawn('sh', ['-c', start], { cwd: root, env: { PATH: process.env.PATH, PORT: '0' } });
        try {
          const [url] = (await once(own.stdout, 'data')) as [Buffer];
          const statuses = [];
          for (const command of commands.slice(0, 2)) {
            const { stdout } = await promisify(exec)(
              command.replace(/https:\S+\/accounts/, `${String(url).trim()}/accounts`),
            );
            statuses.push(stdout.split(' ')[1]);
          }
          expect(statuses).toEqual(['200', '401']);
        } finally {
          own.kill();
          await once(own, 'exit');
        }
      } finally {
        program.kill('SIGINT');
        expect(await once(program, 'exit')).toEqual([0, null]);
      }
    },
  );
});
