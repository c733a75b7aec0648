import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { connect, getCiphers } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { startProxies } from '../../../examples/fapi-stack/proxies.js';
import { createPki } from '../../support/pki.js';
import { describeReal, findProgram } from '../../support/programs.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = new URL('../../../examples/fapi-stack/', import.meta.url);

// Both are needed; the missing one gives the reason.
const needed = findProgram('nginx') === undefined ? 'nginx' : 'haproxy';

describeReal(needed, 'examples/fapi-stack', () => {
  it('runs the whole sequence for each kind of client, and refuses every attack', async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--no-warnings', '--import', 'tsx', 'examples/fapi-stack/main.ts'],
      { cwd: root },
    );
    expect(stdout).toContain('All 24 answers are as expected.');
    expect(stdout).not.toContain('✗');
    // PROXY protocol: what HAProxy knows of the client reaches the APIs.
    expect(stdout).toMatch(
      /Client identified by its subject: .* 200 +200 +ada, by by-subject, from 127\.0\.0\.9/,
    );
    expect(stdout).toMatch(
      /A forged certificate header, with the thief's own certificate +- +401 refused +401 refused/,
    );
  }, 120_000);

  describe.each([
    [
      'fapi1-final',
      [
        'DHE-RSA-AES128-GCM-SHA256',
        'DHE-RSA-AES256-GCM-SHA384',
        'ECDHE-RSA-AES128-GCM-SHA256',
        'ECDHE-RSA-AES256-GCM-SHA384',
      ],
    ],
    // NGINX's certificate here is of RSA, so the two ECDSA suites of the list have nothing to sign with.
    ['bcp195', ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES256-GCM-SHA384']],
  ] as const)('R155 R156 R157: NGINX with %s.conf', (ciphers, permitted) => {
    let proxies: Awaited<ReturnType<typeof startProxies>>;
    beforeAll(async () => {
      const behind = { as: '127.0.0.1:9', express: '127.0.0.1:9', koa: '127.0.0.1:9' };
      proxies = await startProxies({ pki: await createPki(), behind, proxySecret: 'secret', ciphers });
    });
    afterAll(() => proxies?.end());

    const agreed = (options: object): Promise<string | undefined> =>
      new Promise((resolve) => {
        const socket = connect({
          host: '127.0.0.1',
          port: proxies.ports.koa,
          rejectUnauthorized: false,
          ...options,
        });
        socket.once('secureConnect', () => {
          resolve(`${socket.getProtocol()} ${socket.getCipher().name}`);
          socket.destroy();
        });
        socket.once('error', () => resolve(undefined));
        socket.once('close', () => resolve(undefined));
      });

    it('accepts exactly the permitted suites of TLS 1.2, of all that there are', async () => {
      const accepted = [];
      for (const name of getCiphers().filter((cipher) => !cipher.startsWith('tls_'))) {
        const ciphersTried = `${name.toUpperCase()}:@SECLEVEL=0`;
        const found = await agreed({ ciphers: ciphersTried, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
        if (found !== undefined) {
          accepted.push(found);
        }
      }
      expect(accepted.toSorted()).toEqual(permitted.map((name) => `TLSv1.2 ${name}`));
    });

    it('R153 R154: TLS 1.0 and 1.1 are refused, 1.3 comes first', async () => {
      for (const version of ['TLSv1', 'TLSv1.1']) {
        expect(
          await agreed({ minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' }),
        ).toBeUndefined();
      }
      expect(await agreed({})).toMatch(/^TLSv1.3 /);
    });
  });
});

describe('compose.yaml', () => {
  const { services } = parse(readFileSync(new URL('compose.yaml', folder), 'utf8'), { merge: true }) as {
    services: Record<
      string,
      { image: string; volumes?: string[]; command?: string; environment: Record<string, string> }
    >;
  };

  it('names images by version, and only files that are there', () => {
    for (const { image, volumes = [] } of Object.values(services)) {
      expect(image).toMatch(/^[a-z]+:\d+\.\d+/);
      for (const source of volumes
        .map((volume) => volume.split(':')[0] ?? '')
        .filter((one) => one.startsWith('.'))) {
        expect(existsSync(new URL(source, folder))).toBe(true);
      }
    }
  });

  it('gives each configuration every name that it is to be filled in with', () => {
    for (const [service, file] of [
      ['nginx', 'config/nginx.conf.template'],
      ['haproxy', 'config/haproxy.cfg'],
    ] as const) {
      const text = readFileSync(new URL(file, folder), 'utf8').replace(/^#.*$/gm, '');
      const names = [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name ?? '');
      const given = Object.keys(services[service]?.environment ?? {});
      expect(names.length).toBeGreaterThan(5);
      expect(names.filter((name) => !given.includes(name))).toEqual([]);
    }
  });

  it('runs each role that there is', () => {
    const roles = Object.values(services).flatMap(
      ({ command }) => /containers\.ts ([\w-]+)/.exec(command ?? '')?.[1] ?? [],
    );
    const known = [
      ...readFileSync(new URL('containers.ts', folder), 'utf8').matchAll(
        /^ {2}'?([\w-]+)'?: (?:makePki|async|\(\))/gm,
      ),
    ].map(([, role]) => role);
    expect(roles.toSorted()).toEqual(known.toSorted());
  });
});
