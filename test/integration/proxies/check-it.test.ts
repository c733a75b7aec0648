// The commands below "Check it" on the pages of the proxies, run by a shell through the real programs: the right request gets
// 200, and each forged one 401.
import { execFile } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { apache, caddy, envoy, haproxy, nginx, proxyHeader } from '@mtls-bound/core';
import { expect, it } from 'vitest';
import { root, textOf } from '../../docs/pages.js';
import { createApi } from '../../support/apis.js';
import { audience, testClients } from '../../support/authorization-server.js';
import { close, listen } from '../../support/loopback.js';
import { describeReal, findProgram } from '../../support/programs.js';
import { type ProxyProgram, startProxy } from '../../support/real-proxies.js';
import { useAuthorizationServer, useFolder } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
const folder = useFolder();
const secret = 'the-secret-of-this-test-run';

const proxies = [
  { page: 'nginx', program: 'nginx', config: 'nginx/nginx.conf', preset: nginx() },
  { page: 'haproxy', program: 'haproxy', config: 'haproxy/haproxy.cfg', preset: haproxy() },
  { page: 'apache', program: 'apache2', config: 'apache/apache.conf', preset: apache() },
  { page: 'caddy', program: 'caddy', config: 'caddy/Caddyfile', preset: caddy() },
  { page: 'envoy', program: 'envoy', config: 'envoy/envoy.yaml', preset: envoy() },
] as const;

/** The blocks of the section: what is prepared, the right request, the forged ones, the doctor. */
function blocksOf(page: string): readonly string[] {
  const [, section = ''] = textOf(`docs/reference/proxies/${page}.md`).split('\n## Check it\n');
  const [text = ''] = section.split('\n## ');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);
}

async function statusesOf(script: string, token: string): Promise<readonly string[]> {
  // The page leaves the token to the reader, and names another authorization server and client.
  const text = script
    .replace('TOKEN=...', `TOKEN='${token}'`)
    .replace('https://as.example.com', server.issuer)
    .replace('my-client', 'alice')
    .replace('resource=https://api.example.com', `resource=${audience}`);
  const env = {
    PATH: process.env.PATH,
    CURL_HOME: folder,
    HOME: folder,
    CURL_CA_BUNDLE: join(folder, 'ca.pem'),
  };
  const { stdout } = await promisify(execFile)('sh', ['-c', text], { cwd: folder, env });
  expect(stdout).toContain('"access_token":"');
  return [...stdout.matchAll(/HTTP\/\S+ (\d{3})/g)].map(([, status = '']) => status);
}

for (const { page, program, config, preset } of proxies) {
  describeReal(program, `the page of ${page}`, () => {
    it.runIf(findProgram('curl') !== undefined && findProgram('openssl') !== undefined)(
      'has commands that prove the right request, and refuse each forged one',
      async () => {
        const [prepare = '', right = '', forged = ''] = blocksOf(page);
        const { listener } = createApi('Express', {
          issuer: server.issuer,
          clientId: 'api',
          clientSecret: server.secrets.api,
          audience,
          http: { ca: pki.ca.cert },
          certificate: proxyHeader(preset, {
            trust: ['127.0.0.1'],
            secret: { header: 'x-proxy-secret', value: secret },
          }),
        });
        const api = createServer(listener);
        const upstream = await listen(api);
        const start = { program: program as ProxyProgram, config, pki, upstream, secret };
        const proxy = await startProxy(start);
        try {
          writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
          writeFileSync(join(folder, 'client.pem'), pki.alice.cert);
          writeFileSync(join(folder, 'client.key'), pki.alice.key);
          // The page names the host and the ports of a real set-up.
          const connections = [
            `connect-to = "api.example.com:443:127.0.0.1:${proxy.port}"`,
            `connect-to = "127.0.0.1:3000:127.0.0.1:${upstream}"`,
          ];
          writeFileSync(join(folder, '.curlrc'), `${connections.join('\n')}\nsilent\n`);
          const token = await server.token(testClients(pki).alice);
          expect(await statusesOf(prepare + right, token)).toEqual(['200']);
          expect(await statusesOf(prepare + forged, token)).toEqual(['401', '401', '401', '401']);
          // The forged header is written as the proxy writes it: with the proxy's secret it would be believed.
          const past = forged.trim().split('\n').at(-1) ?? '';
          const withSecret = past.replace('curl ', `curl -H 'X-Proxy-Secret: ${secret}' `);
          expect(await statusesOf(prepare + withSecret, token)).toEqual(['200']);
        } finally {
          await proxy.close();
          await close(api);
        }
      },
      60_000,
    );
  });
}

it('each page of a proxy has these four blocks, and the doctor in the last one', () => {
  const pages = readdirSync(`${root}docs/reference/proxies`);
  const checked = pages.filter((name) => !/^(README|more-products|rfc9440)\.md$/.test(name));
  expect(checked.length).toBeGreaterThan(15);
  for (const name of checked) {
    const [prepare, right, forged, doctor, ...others] = blocksOf(name.replace('.md', ''));
    expect([name, prepare?.match(/^CERTIFICATE=/m)?.length]).toEqual([name, 1]);
    expect([name, right?.match(/^curl .*--key client\.key/gm)?.length]).toEqual([name, 1]);
    expect([name, (forged?.match(/^curl /gm)?.length ?? 0) >= 3]).toEqual([name, true]);
    expect([name, doctor]).toEqual([name, expect.stringMatching(/^npx mtls-doctor probe /)]);
    expect([name, others]).toEqual([name, []]);
  }
});
