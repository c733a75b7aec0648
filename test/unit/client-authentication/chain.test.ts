import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError, type ProblemEvent, tlsClientAuth } from '@mtls-bound/core';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { stallFiles } from '../../support/stalled-files.js';

let pki: Pki;
let folder: string;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.useRealTimers());

const chain = () => `${pki.alice.cert.trim()}\n${pki.ca.cert.trim()}\n`;
const leafLength = () => pki.alice.cert.trim().length + 1;

const broken: [string, () => string][] = [
  ['the chain breaks off inside a base64 line', () => chain().slice(0, leafLength() + 200)],
  ['the chain breaks off inside its BEGIN line', () => chain().slice(0, leafLength() + 15)],
  ['the chain breaks off inside the dashes', () => chain().slice(0, leafLength() + 3)],
  ['the chain breaks off inside its END line', () => chain().trim().slice(0, -4)],
  ['the chain was joined without a line end', () => `${pki.alice.cert.trim()}${pki.ca.cert.trim()}\n`],
  ['a comment in the chain has no line end', () => `${pki.alice.cert.trim()}\n# CA${pki.ca.cert.trim()}\n`],
  [
    'the chain holds nonsense',
    () => `${pki.alice.cert.trim()}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
  ],
];

it.each(broken)('%s: start-up refuses it, a renewal keeps the pair from before', async (_title, cert) => {
  const [certFile, keyFile] = [join(folder, 'api.pem'), join(folder, 'api.key')];
  writeFileSync(keyFile, pki.alice.key);
  writeFileSync(certFile, cert());
  expect(() => tlsClientAuth({ certFile, keyFile })).toThrow(ConfigurationError);
  expect(() => tlsClientAuth({ cert: cert(), key: pki.alice.key })).toThrow(ConfigurationError);

  writeFileSync(certFile, pki.alice.cert);
  const { identity } = tlsClientAuth({ certFile, keyFile });
  const before = await identity?.();
  writeFileSync(certFile, cert());
  expect(await identity?.()).toBe(before);
  expect(problems.map(({ code }) => code)).toEqual(['own_certificate_mismatch']);
  // The rest of the file arrives.
  writeFileSync(certFile, chain());
  expect(String((await identity?.())?.cert)).toBe(chain());
});

it('names the reason if PEM was joined without a line end, and quotes none of it', async () => {
  const why = 'PEM in which a BEGIN or END marker is not a line of its own';
  const joined = `${pki.alice.cert.trim()}${pki.ca.cert.trim()}\n`;
  const joinedKey = `${pki.alice.key.trim()}${pki.ca.cert.trim()}\n`;
  const { cert, key } = pki.alice;
  for (const wrong of [
    { cert: joined, key },
    { cert, key: joinedKey },
  ]) {
    expect(() => tlsClientAuth(wrong)).toThrow(
      `tlsClientAuth().key: expected PEM whose markers are whole lines, got ${why}`,
    );
    await expect(tlsClientAuth(() => wrong).identity?.()).rejects.toThrow(why);
  }
  const [certFile, keyFile] = [join(folder, 'joined.pem'), join(folder, 'joined.key')];
  writeFileSync(keyFile, key);
  writeFileSync(certFile, joined);
  expect(() => tlsClientAuth({ certFile, keyFile })).toThrow(`${certFile} and ${keyFile}: ${why}`);
  writeFileSync(certFile, cert);
  const { identity } = tlsClientAuth({ certFile, keyFile });
  await identity?.();
  writeFileSync(keyFile, joinedKey);
  expect((await identity?.())?.key.toString()).toBe(key);
  expect(problems.map(({ message }) => message)).toEqual([
    expect.stringMatching(
      / and .* are no whole certificate chain and its key: PEM in which .*\. The ones read before/,
    ),
  ]);
});

it('a whole chain is accepted, with a byte order mark, line ends of Windows and text between', () => {
  const text = `\uFEFF subject=/CN=alice\n${chain()}`.replaceAll('\n', '\r\n');
  expect(tlsClientAuth({ cert: text, key: pki.alice.key }).method).toBe('tls_client_auth');
});

it('files that stall are waited for one second, by one reading, and their old pair is used', async () => {
  const [certFile, keyFile] = [join(folder, 'stalled.pem'), join(folder, 'stalled.key')];
  writeFileSync(keyFile, pki.alice.key);
  writeFileSync(certFile, pki.alice.cert);
  const { identity } = tlsClientAuth({ certFile, keyFile });
  const before = await identity?.();
  writeFileSync(certFile, chain());
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
  using files = stallFiles();

  const read: unknown[] = [];
  const exchanges = Array.from({ length: 6 }, async () => void read.push(await identity?.()));
  await vi.advanceTimersByTimeAsync(900);
  expect([read.length, files.waiting()]).toEqual([0, 1]);
  await vi.advanceTimersByTimeAsync(200);
  await Promise.all(exchanges);
  expect(read).toEqual(Array(6).fill(before));
  expect(await identity?.()).toBe(before);
  expect(files.waiting()).toBe(1);
  expect(problems.map(({ code, message }) => `${code}: ${message}`)).toEqual([
    "own_certificate_unreadable: this API's certificate can not be read again: no answer within 1 s",
    "own_certificate_unreadable: this API's certificate can not be read again: an earlier reading has not ended",
  ]);

  files.release();
  await vi.waitFor(async () => expect(String((await identity?.())?.cert)).toBe(chain()));
});

it('a renewal is noticed though the files keep their time of modification', async () => {
  const [certFile, keyFile] = [join(folder, 'kept-time.pem'), join(folder, 'kept-time.key')];
  writeFileSync(keyFile, pki.alice.key);
  writeFileSync(certFile, pki.alice.cert);
  const time = new Date('2026-01-01');
  utimesSync(certFile, time, time);
  const { identity } = tlsClientAuth({ certFile, keyFile });
  await identity?.();
  writeFileSync(certFile, chain());
  utimesSync(certFile, time, time);
  expect(String((await identity?.())?.cert)).toBe(chain());
});
