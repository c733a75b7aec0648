import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { itReal } from '../../support/programs.js';
import { useFolder } from '../../support/suites.js';

const folder = useFolder();

itReal('openssl', 'the command of the page prints a name as Keycloak expects it', async () => {
  const page = textOf('docs/reference/authorization-servers/keycloak.md');
  const [, shown = ''] =
    /as RFC 4514 writes it: `(.+?)` for a certificate that has `CN` before `O`/.exec(page) ?? [];
  const [command = ''] = page.match(/^openssl x509 .+$/m) ?? [];
  const make =
    'openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=alice/O=Example -keyout client.key -out client.pem';
  const run = (line: string) => promisify(execFile)('sh', ['-c', line], { cwd: folder });
  await run(make);
  expect((await run(command)).stdout).toBe(`subject=${shown}\nissuer=${shown}\n`);
});
