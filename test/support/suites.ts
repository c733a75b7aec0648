// What the files of many suites start once, for all of their tests. Vitest ends it after the last one.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResourceServerOptions } from '@mtls-bound/core';
import { afterAll } from 'vitest';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from './authorization-server.js';
import { commandFiles } from './doctor-command.js';
import { type FaultyServer, startFaultyServer } from './faulty-server.js';
import { createPki, type Pki } from './pki.js';

/** Creates a PKI and an authorization server whose answers the tests of the file choose. */
export async function useFaultyServer(): Promise<{ pki: Pki; server: FaultyServer }> {
  const pki = await createPki();
  const server = await startFaultyServer(pki);
  afterAll(() => server.close());
  return { pki, server };
}

/** Creates a PKI and a real authorization server for the tests of the file. */
export async function useAuthorizationServer(): Promise<{ pki: Pki; server: TestAuthorizationServer }> {
  const pki = await createPki();
  const server = await startAuthorizationServer(pki);
  afterAll(() => server.stop());
  return { pki, server };
}

/** Creates a real authorization server and what the doctor needs to check an API that uses it. */
export async function useDoctor() {
  const { pki, server } = await useAuthorizationServer();
  const files = commandFiles(pki, server);
  afterAll(() => files.remove());
  const options = (): ResourceServerOptions => ({
    issuer: server.issuer,
    audience,
    clientId: 'api',
    clientSecret: server.secrets.api,
    http: { ca: pki.ca.cert },
  });
  return { pki, server, files, clients: () => testClients(pki), options };
}

/** Creates a folder for the tests of the file. */
export function useFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  return folder;
}
