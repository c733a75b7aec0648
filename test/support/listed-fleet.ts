// A fleet whose processes look client certificates up in a revocation list, of a server or of a file.
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CRLDistributionPointsExtension } from '@peculiar/x509';
import { audience } from './audience.js';
import { authority, client } from './chains.js';
import { revocationList } from './crl.js';
import { answer, type FaultyServer, goodClaims } from './faulty-server.js';
import { type Member, startFleet } from './fleet.js';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';

export interface ListedFleetOptions {
  readonly size: number;
  readonly by: 'server' | 'file';
  /** Seconds. */
  readonly refreshInterval: number;
}

/** A client certificate, with its thumbprint of RFC 8705. */
export interface ListedClient {
  readonly cert: string;
  readonly thumbprint: string;
}

export interface ListedFleet {
  /** A certificate that each of the processes has accepted. */
  acceptedClient(): Promise<ListedClient>;
  /**
   * Publishes a list with this certificate. Resolves when each process has refused it, or after
   * `patience` seconds.
   */
  revoke(identity: ListedClient, patience: number): Promise<RevokedInFleet>;
  /** What each process answers to a request with this certificate. */
  statusesOf(identity: ListedClient): Promise<readonly number[]>;
  close(): Promise<void>;
}

export interface RevokedInFleet {
  /** The status that ended the wait for each process. */
  readonly statuses: readonly number[];
  /** Milliseconds from the new list to the refusal in the last process. */
  readonly milliseconds: number;
  /** Requests that were accepted behind the refusal of the same process. */
  readonly acceptedAfterwards: number;
}

export async function startListedFleet(
  pki: Pki,
  server: FaultyServer,
  { size, by, refreshInterval }: ListedFleetOptions,
): Promise<ListedFleet> {
  const issuer = await authority('CN=clients');
  const revoked: ListedClient[] = [];
  let list = await revocationList(issuer, revoked);
  const folder = mkdtempSync(join(tmpdir(), 'listed-fleet-'));
  const file = join(folder, 'clients.crl');
  writeFileSync(file, list);
  const listServer = createServer((_, res) => {
    res.end(Buffer.from(list.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'));
  });
  const origin = `http://127.0.0.1:${await listen(listServer)}`;
  const point = new CRLDistributionPointsExtension([`${origin}/clients.crl`]);
  const fleet = await startFleet({
    size,
    options: {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 's',
      audience,
      http: { ca: pki.ca.cert },
      certificatePolicy: {
        authorities: issuer.cert,
        revocationCheck: {
          by: 'crl',
          refreshInterval,
          ...(by === 'server' ? { origins: origin } : { crlFiles: file }),
        },
      },
    },
  });
  const { members } = fleet;
  const send = (member: Member, identity: ListedClient) =>
    member.send(`token-${identity.thumbprint}`, identity);
  const statusesOf = (identity: ListedClient) => Promise.all(members.map((member) => send(member, identity)));
  let clients = 0;

  return {
    async acceptedClient() {
      clients += 1;
      const leaf = await client(`CN=client ${clients}`, issuer, {
        extensions: by === 'server' ? [point] : [],
      });
      const thumbprint = createHash('sha256').update(leaf.der).digest('base64url');
      const identity = { cert: leaf.cert, thumbprint };
      server.introspection = answer(200, goodClaims(server.issuer, thumbprint));
      const statuses = await statusesOf(identity);
      if (statuses.some((status) => status !== 200)) {
        throw new Error(`each process should have accepted it: ${statuses}`);
      }
      return identity;
    },
    async revoke(identity, patience) {
      revoked.push(identity);
      list = await revocationList(issuer, revoked);
      const start = performance.now();
      writeFileSync(`${file}.new`, list);
      renameSync(`${file}.new`, file);
      const statuses = await Promise.all(
        members.map(async (member) => {
          let status = await send(member, identity);
          while (status === 200 && performance.now() - start < 1_000 * patience) {
            await sleep(5);
            status = await send(member, identity);
          }
          return status;
        }),
      );
      const milliseconds = performance.now() - start;
      const afterwards = await statusesOf(identity);
      const acceptedAfterwards = afterwards.filter((status) => status === 200).length;
      return { statuses, milliseconds, acceptedAfterwards };
    },
    statusesOf,
    async close() {
      await fleet.close();
      listServer.closeAllConnections();
      await close(listServer);
      rmSync(folder, { recursive: true });
    },
  };
}
