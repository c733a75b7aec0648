import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError, type ProblemEvent, tlsClientAuth } from '@mtls-bound/core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let folder: string;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const chain = () => `${pki.alice.cert.trim()}\n${pki.ca.cert.trim()}\n`;
const leafLength = () => pki.alice.cert.trim().length + 1;

const broken: [string, () => string][] = [
  ['the chain breaks off inside a base64 line', () => chain().slice(0, leafLength() + 200)],
  ['the chain breaks off inside its BEGIN line', () => chain().slice(0, leafLength() + 15)],
  ['the chain breaks off inside the dashes', () => chain().slice(0, leafLength() + 3)],
  ['the chain breaks off inside its END line', () => chain().trim().slice(0, -4)],
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

it('a whole chain is accepted, with a byte order mark, line ends of Windows and text between', () => {
  const text = `\uFEFF subject=/CN=alice\n${chain()}`.replaceAll('\n', '\r\n');
  expect(tlsClientAuth({ cert: text, key: pki.alice.key }).method).toBe('tls_client_auth');
});
