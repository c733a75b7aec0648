// What is published: publint and attw look at the tarballs; then an empty project installs them and makes requests.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pack, run } from './pack.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = (name) => join(root, 'node_modules/.bin', name);
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-packages-'));
try {
  for (const [name, tarball] of Object.entries(pack(folder))) {
    run(bin('publint'), [tarball, '--strict']);
    run(bin('attw'), [tarball]);
    console.log(`ok: ${name} under publint and attw`);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
