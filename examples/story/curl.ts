import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Story } from './cast.js';

/** Prints commands that work as pasted while the story is up; their certificates go with it. */
export async function printCurlCommands({ pki, authorizationServer, clients, apis }: Story): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
  process.once('exit', () => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string): string => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const ca = file('ca.pem', pki.ca.cert);
  const identity = (name: 'alice' | 'bob'): string =>
    `--cert ${file(`${name}.pem`, pki[name].cert)} --key ${file(`${name}.key`, pki[name].key)}`;
  const alice = identity('alice');
  const bob = identity('bob');
  for (const [name, { url, audience }] of Object.entries(apis)) {
    const token = await authorizationServer.token({ ...clients.alice, resource: audience });
    const call = (certificate: string, path: string): string =>
      `curl --silent --include --cacert ${ca} ${certificate} --header 'Authorization: Bearer ${token}' ${url}${path}`;
    console.log(`\n# ${name}: Alice with her own token`);
    console.log(call(alice, '/accounts'));
    console.log(`# ${name}: Bob with Alice's stolen token`);
    console.log(call(bob, '/accounts'));
    console.log(`# ${name}: the stolen token without a certificate`);
    console.log(call('', '/accounts'));
  }
  console.log('\n# A new token for Alice');
  console.log(
    `curl --silent --cacert ${ca} ${alice} --data 'grant_type=client_credentials&client_id=alice&scope=accounts:read+payments:write&resource=https://api.example.com' ${authorizationServer.issuer}/token`,
  );
  console.log('\nCtrl-C ends it.');
}
