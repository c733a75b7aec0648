import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Story } from './cast.js';

/**
 * Prints commands that work as pasted while the servers run. Their certificate files are removed when this process ends.
 */
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
    console.log(`\n${name}: Alice sends her own token`);
    console.log(call(alice, '/accounts'));
    console.log(`${name}: Bob sends Alice's stolen token with his own certificate`);
    console.log(call(bob, '/accounts'));
    console.log(`${name}: Bob sends Alice's stolen token without a certificate`);
    console.log(call('', '/accounts'));
  }
  const { issuer, secrets } = authorizationServer;
  console.log(
    "\nFor docs/guides/getting-started.md, in the folder of your API: Alice's certificate as the client's",
  );
  console.log(`cp '${join(folder, 'alice.pem')}' client.pem`);
  console.log(`cp '${join(folder, 'alice.key')}' client.key`);
  console.log(
    '\nThe environment of your own API; TLS_CERT_FILE and TLS_KEY_FILE are for the programs in examples',
  );
  for (const [name, value] of Object.entries({
    MTLS_BOUND_ISSUER: issuer,
    MTLS_BOUND_AUDIENCE: apis.Express.audience,
    MTLS_BOUND_CLIENT_ID: 'api',
    MTLS_BOUND_CLIENT_SECRET: secrets.api,
    MTLS_BOUND_CA_FILE: ca,
    TLS_CERT_FILE: file('server.pem', pki.server.cert),
    TLS_KEY_FILE: file('server.key', pki.server.key),
  })) {
    console.log(`export ${name}='${value}'`);
  }
  console.log('\nA new token for Alice');
  console.log(
    `curl --silent --cacert ${ca} ${alice} --data 'grant_type=client_credentials&client_id=alice&scope=accounts:read+payments:write&resource=https://api.example.com' ${authorizationServer.issuer}/token`,
  );
  console.log('\nFor docs/guides/migration.md: a token that is not bound to a certificate');
  const { clientId, secret } = clients.unbound;
  console.log(
    `curl --silent --cacert ${ca} --data 'grant_type=client_credentials&client_id=${clientId}&client_secret=${secret}&scope=accounts:read&resource=https://api.example.com' ${issuer}/token`,
  );
  console.log(`\nPress Ctrl-C to stop. This deletes ${folder}.`);
}
