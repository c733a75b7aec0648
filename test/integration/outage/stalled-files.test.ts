// A network file system that is away, shown by named pipes: to open one holds a thread until a writer comes.
import { execFileSync } from 'node:child_process';
import { pbkdf2 } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { closeSync, constants, mkdtempSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type ProblemEvent, tlsClientAuth } from '@mtls-bound/core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { CrlFiles } from '../../../packages/core/src/certificate-status/crl-files.js';
import { AuthoritySource } from '../../../packages/core/src/chain/authorities.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { pem, writeAuthority, writeList } from '../../support/written-status.js';

let pki: Pki;
let folder: string;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  await x509.load();
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const pipes: string[] = [];

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Puts a named pipe in place of a file. */
function stall(path: string): void {
  execFileSync('mkfifo', [`${path}.pipe`]);
  renameSync(`${path}.pipe`, path);
  pipes.push(path);
}

/** Lets all go on that opened a pipe: they read nothing. */
function release(): void {
  for (const pipe of pipes) {
    closeSync(openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK));
  }
}

/** What Node's threads do: `undefined` if they do not within two seconds. */
const useThreads = () =>
  Promise.race([
    Promise.all([
      lookup('localhost').then(({ address }) => address.length > 0),
      readFile(import.meta.filename).then(({ length }) => length > 0),
      promisify(pbkdf2)('a', 'b', 1, 32, 'sha256').then(({ length }) => length > 0),
    ]),
    wait(2_000),
  ]);

it('six options that name files there leave two threads for DNS, cryptography and other files', async () => {
  const start = Date.now();
  const reports: string[] = [];
  const authorities = ['a', 'b', 'c', 'd'].map((name) => {
    const path = write(`${name}.pem`, pki.ca.cert);
    const report = (code: string, text: string) => void reports.push(`${code}: ${text}`);
    return { path, source: new AuthoritySource(path, name, report) };
  });
  const crlFile = write('list.crl', pem(writeList(writeAuthority())));
  const crlFiles = new CrlFiles({
    paths: [crlFile],
    option: 'crlFiles',
    maxSize: 1_000_000,
    clockTolerance: () => 0,
    onChange: () => undefined,
    onFailure: (message) => void reports.push(`crl_unreadable: ${message}`),
  });
  const [certFile, keyFile] = [write('own.pem', pki.alice.cert), write('own.key', pki.alice.key)];
  const { identity } = tlsClientAuth({ certFile, keyFile });
  const own = await identity?.();
  const waits: Promise<unknown>[] = [];
  try {
    for (const path of [...authorities.map(({ path: file }) => file), crlFile, certFile]) {
      stall(path);
    }
    waits.push(...authorities.map(async ({ source }) => source.prepare(start + 61_000)));
    expect(await identity?.()).toBe(own);
    expect(await useThreads()).toEqual([true, true, true]);
    await Promise.all(waits);
    // By now the lists were looked for, too.
    await vi.waitFor(() => expect(reports).toContainEqual(expect.stringContaining('crl_unreadable')), 15_000);
    expect(await useThreads()).toEqual([true, true, true]);
    expect(await identity?.()).toBe(own);
    const inVain = 'it was not read, as files of other options take long or do not answer';
    expect(reports.slice(0, 4).toSorted()).toEqual([
      'authorities_unreadable: a can not be read again: no answer within 5 s',
      'authorities_unreadable: b can not be read again: no answer within 5 s',
      `authorities_unreadable: c can not be read again: ${inVain}`,
      `authorities_unreadable: d can not be read again: ${inVain}`,
    ]);
    expect(reports[4]).toBe(
      `crl_unreadable: ${crlFile} can not be read again, the lists read before are still used: ${inVain}`,
    );
    expect(problems.map(({ message }) => message)).toEqual([
      `this API's certificate can not be read again: ${inVain}`,
      `this API's certificate can not be read again: ${inVain}`,
    ]);
  } finally {
    release();
    crlFiles.close();
    await Promise.allSettled(waits);
  }

  // The file system is back.
  for (const { path } of authorities) {
    rmSync(path);
    writeFileSync(path, `# renewed\n${pki.ca.cert}`);
  }
  let now = start + 100_000;
  await vi.waitFor(async () => {
    now += 100_000;
    await Promise.all(authorities.map(async ({ source }) => source.prepare(now)));
    expect(authorities.map(({ source }) => source.generation)).toEqual([2, 2, 2, 2]);
  });
});
