import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runDoctor } from '../../support/doctor-command.js';

const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-explain-'));
afterAll(() => rmSync(folder, { recursive: true }));

// Whatever the options share with other processes throws, and says so, when it is used.
const options = `
const used = (name) => async () => { process.stderr.write('used ' + name + '\\n'); throw new Error(name); };
export default {
  issuer: 'https://as.example.com', clientId: 'api', clientSecret: 'secret-of-the-api', audience: 'https://api.example.com',
  sharedCache: { store: { get: used('get'), set: used('set') }, secret: 'secret-of-32-characters-for-cache', claims: { take: used('take'), release: used('release') } },
  revocations: { channel: { publish: used('publish'), subscribe: used('subscribe') }, secret: 'secret-of-32-characters-of-others' },
};`;

it('explain uses neither the shared store nor the channel of the options, and shows none of their secrets', async () => {
  const config = join(folder, 'options.mjs');
  const claims = join(folder, 'claims.json');
  writeFileSync(config, options);
  const cnf = { 'x5t#S256': 'A'.repeat(43) };
  const exp = Math.floor(Date.now() / 1000) + 600;
  writeFileSync(
    claims,
    JSON.stringify({ active: true, iss: 'https://as.example.com', aud: 'https://api.example.com', exp, cnf }),
  );
  for (const more of [[], ['--json']]) {
    const result = await runDoctor(['explain', '--claims', claims, '--config', config, ...more]);
    const said = JSON.stringify(result);
    expect(said).toContain('certificate_missing');
    expect(said).not.toContain('used ');
    expect(said).not.toContain('secret-of');
  }
});
