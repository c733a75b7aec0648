// Lists in files next to a responder that is asked first: a file that changes makes no good client wait or be refused.
import { utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { expect, it, vi } from 'vitest';
import { createStatusChecker } from '../../../packages/core/src/certificate-status/status-checker.js';
import { close, listen } from '../../support/loopback.js';
import {
  defaultSettings,
  responderAt,
  withFiles,
  writeAuthority,
  writeCertificate,
  writeList,
  writeOcsp,
} from '../../support/written-status.js';

it('a changed file is opened for an issuer that has signed none of its lists, whose responder said good', async () => {
  const issuer = writeAuthority();
  const otherKey = writeAuthority();
  let asked = 0;
  const responder = createServer((req, res) => {
    asked += 1;
    req.resume().on('end', () => res.end(writeOcsp(client.certificate, issuer)));
  });
  const origin = `http://127.0.0.1:${await listen(responder)}`;
  const client = writeCertificate({ issuer, serial: [7], extensions: [responderAt(`${origin}/`)] });
  const path = [client.certificate, issuer.certificate];
  await withFiles([writeList(otherKey)], async (crlFiles) => {
    const statusChecker = createStatusChecker(
      { ...defaultSettings, by: ['ocsp', 'crl'], origins: [origin], crlFiles },
      () => 0,
      () => undefined,
    );
    const status = () => statusChecker.statusOf(path, Date.now());
    await statusChecker.prepare(path);
    expect(status()).toMatchObject({ state: 'good' });

    const before = statusChecker.generation;
    const [file] = crlFiles as [string];
    writeFileSync(file, writeList(otherKey, { revoked: [[9]] }));
    utimesSync(file, new Date(), new Date(Date.now() + 10_000));
    await vi.waitFor(() => expect(statusChecker.generation).toBeGreaterThan(before), 20_000);
    expect(status()).toMatchObject({ state: 'unknown', isPending: true });
    await statusChecker.prepare(path);
    expect(status()).toMatchObject({ state: 'good' });
    expect(asked).toBe(1);
    statusChecker.close();
  });
  await close(responder);
});
