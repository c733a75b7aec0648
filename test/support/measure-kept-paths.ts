// How much memory a certificate takes whose path certificatePolicy.authorities keeps:
//   node --import tsx test/support/measure-kept-paths.ts [certificates]
import 'reflect-metadata';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ClientCertificate } from '../../packages/core/src/certificate/client-certificate.js';
import { x509 } from '../../packages/core/src/certificate/lazy-x509.js';
import { AuthoritySource } from '../../packages/core/src/chain/authorities.js';
import { ChainVerification } from '../../packages/core/src/chain/chain-verification.js';
import { authority, client, keyPair, type Node, type NodeOptions } from './chains.js';

const publicExponent = new Uint8Array([1, 0, 1]);
const rsa = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2_048, publicExponent };

type Row = readonly [title: string, keyAlgorithm: NodeOptions['keyAlgorithm'], isSent: boolean];
const rows: readonly Row[] = [
  ['P-256, intermediates sent by the client', undefined, true],
  ['P-256, intermediates configured', undefined, false],
  ['RSA of 2048 bits, intermediates sent', rsa, true],
  ['RSA of 2048 bits, intermediates configured', rsa, false],
];

const [count = 5_000, only] = process.argv.slice(2).map(Number);
if (only === undefined) {
  // Each row in a process of its own: what one has freed, another would use again.
  process.stdout.write(`For each of ${count} certificates with two intermediates:\n`);
  const file = fileURLToPath(import.meta.url);
  for (const row of rows.keys()) {
    const args = ['--expose-gc', '--import', 'tsx', file, String(count), String(row)];
    spawnSync(process.execPath, args, { stdio: 'inherit' });
  }
} else {
  await measureRow(...(rows[only] as Row));
}

function measure(): Record<'heap' | 'buffers' | 'process', number> {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  return { heap: heapUsed, buffers: arrayBuffers, process: rss };
}

async function measureRow(...[title, keyAlgorithm, isSent]: Row): Promise<void> {
  await x509.load();
  const options = keyAlgorithm === undefined ? {} : { keyAlgorithm };
  const root = await authority('CN=Root, O=Directory', undefined, options);
  const upper = await authority('CN=Upper, O=Directory', root, options);
  const issuing = await authority('CN=Issuing, O=Directory', upper, options);
  const between = [issuing, upper];
  const read = (given: string | string[]) => new AuthoritySource(given, 'authorities', () => undefined);
  const configured = isSent ? undefined : read(between.map(({ cert }) => cert));
  const verification = new ChainVerification(read(root.cert), configured, count);
  const keys = await keyPair(keyAlgorithm);
  const leaves: Node[] = [];
  for (let at = 0; at < count; at += 1) {
    leaves.push(await client(`CN=client ${at}, OU=Payments, O=Example Bank, C=NO`, issuing, { keys }));
  }
  const before = measure();
  for (const { der } of leaves) {
    // As from a header: bytes of its own.
    const intermediates = isSent ? between.map((one) => Uint8Array.from(one.der)) : [];
    const outcome = verification.verify(new ClientCertificate(der, { intermediates }), Date.now());
    if ('why' in outcome) {
      throw new Error(outcome.why);
    }
  }
  const after = measure();
  const kilobytes = (name: 'heap' | 'buffers' | 'process'): string =>
    `${name} ${((after[name] - before[name]) / count / 1_000).toFixed(1)} kB`;
  const size = `${leaves[0]?.der.length} bytes`;
  const figures = [kilobytes('heap'), kilobytes('buffers'), kilobytes('process')].join(', ');
  process.stdout.write(`${title} (${size}): ${figures}\n`);
}
