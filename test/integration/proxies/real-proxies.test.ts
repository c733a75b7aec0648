import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import {
  apache,
  caddy,
  envoy,
  haproxy,
  nginx,
  type ProxyHeaderOptions,
  type ProxyPreset,
  proxyHeader,
  type ResourceServerOptions,
  uniIdLibra,
} from '@mtls-bound/core';
import * as x509 from '@peculiar/x509';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { createApi, frameworks, mutualTls } from '../../support/apis.js';
import { audience, startAuthorizationServer, testClients } from '../../support/authorization-server.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close } from '../../support/loopback.js';
import { type Identity, issueFrom, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { type ProxyStart, type RealProxy, startProxy } from '../../support/real-proxies.js';
import { useFaultyServer } from '../../support/suites.js';

/** What clients call the API, in SNI and in Host; Caddy insists that the two agree. */
const name = 'api.example.com';
const secret = 'the-secret-of-this-test-run';
const verifyHeader = 'X-SSL-Client-Verify';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();

// Warnings of refusals on purpose would fill the screen.
// A token is the name of who it is bound to: any certificate can be bound, as no real server would.
server.introspection = (req, res, body) => {
  const name = new URLSearchParams(body).get('token') as keyof Pki;
  answer(200, goodClaims(server.issuer, pki[name].thumbprint))(req, res, body);
};

interface ClientCall {
  readonly identity?: keyof Pki | Identity;
  readonly token?: string;
  readonly path?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly tls?: object;
}

interface Through {
  readonly proxy: RealProxy;
  /** The status, or `refused` where the proxy ends the handshake. */
  status(call: ClientCall): Promise<number | 'refused'>;
  /** Who came over each of the connections between proxy and API. */
  readonly upstreamConnections: ReadonlyMap<object, readonly string[]>;
  close(): Promise<void>;
}

interface Behind extends Omit<ProxyStart, 'pki' | 'upstream' | 'secret'> {
  readonly preset: ProxyPreset;
  readonly framework: (typeof frameworks)[number];
  readonly trust?: Partial<ProxyHeaderOptions>;
  readonly more?: ResourceServerOptions;
  readonly upstreamKind?: 'tcp' | 'unix' | 'mutual TLS';
  /** What `listen()` gets on a unix socket next to its path, and what makes its folder ready. */
  readonly socket?: { readonly options: object; readonly prepare: (folder: string) => void };
}

/** An API behind a real proxy, whose configuration is the one that the docs show. */
async function startBehind({
  preset,
  framework,
  trust,
  more,
  upstreamKind = 'tcp',
  socket,
  ...start
}: Behind): Promise<Through> {
  const { listener } = createApi(framework, {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'secret',
    audience,
    http: { ca: pki.ca.cert },
    certificate: proxyHeader(preset, {
      trust: 'loopback',
      secret: { header: 'x-proxy-secret', value: secret },
      ...trust,
    }),
    ...more,
  });
  const connections = new Map<object, string[]>();
  const recording = (req: IncomingMessage, res: never): void => {
    const seen = connections.get(req.socket) ?? [];
    connections.set(req.socket, [...seen, String(req.headers.authorization)]);
    listener(req, res);
  };
  const api = (
    upstreamKind === 'mutual TLS'
      ? createTlsServer(mutualTls(pki), recording as never)
      : createServer(recording as never)
  ) as Server;
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-api-'));
  chmodSync(folder, 0o755);
  socket?.prepare(folder);
  const socketPath = join(folder, 'api.sock');
  api.listen(
    upstreamKind === 'unix' ? { path: socketPath, ...socket?.options } : { host: '127.0.0.1', port: 0 },
  );
  await once(api, 'listening');
  const upstream = upstreamKind === 'unix' ? socketPath : (api.address() as AddressInfo).port;
  const stopApi = async (): Promise<void> => {
    await close(api);
    rmSync(folder, { recursive: true, force: true });
  };
  const proxy = await startProxy({ ...start, pki, upstream, secret }).catch(async (error: unknown) => {
    await stopApi();
    throw error;
  });
  return {
    proxy,
    upstreamConnections: connections,
    status: (call) => callThrough(proxy.port, call),
    close: async () => {
      await proxy.close();
      await stopApi();
    },
  };
}

function callThrough(port: number, call: ClientCall): Promise<number | 'refused'> {
  const { identity, token = 'alice', path = '/', headers = [], tls } = call;
  const { cert, key }: Partial<Identity> = typeof identity === 'string' ? pki[identity] : (identity ?? {});
  const head = [['Host', name], ['Authorization', `Bearer ${token}`], ...headers].flat();
  return new Promise((resolve) => {
    const options = {
      host: '127.0.0.1',
      servername: name,
      port,
      path,
      ca: pki.ca.cert,
      cert,
      key,
      agent: false as const,
      headers: head as never,
      ...tls,
    };
    request(options, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    })
      .on('error', () => resolve('refused'))
      .end();
  });
}

/** A second handshake with the session of the first, as a client that comes back does it. */
async function statusResumed(
  port: number,
  identity: Identity,
  version: 'TLSv1.2' | 'TLSv1.3',
  token: string,
) {
  const open = async (session?: Buffer) => {
    const versions = { minVersion: version, maxVersion: version } as const;
    const { cert, key } = identity;
    const socket = connect({
      host: '127.0.0.1',
      servername: name,
      port,
      ca: pki.ca.cert,
      cert,
      key,
      session,
      ...versions,
    });
    let latest: Buffer | undefined;
    socket.on('session', (next: Buffer) => {
      latest = next;
    });
    await once(socket, 'secureConnect');
    const reused = socket.isSessionReused();
    return { status: await statusOver(socket, token), reused, session: latest };
  };
  const first = await open();
  return { first: first.status, ...(await open(first.session)) };
}

async function statusOver(socket: TLSSocket, token: string): Promise<number> {
  socket.write(
    `GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  let text = '';
  socket.setEncoding('latin1');
  for await (const chunk of socket) {
    text += chunk;
  }
  return Number(text.split(' ')[1]);
}

/** Each proxy with its configuration, and how it writes the certificate that a liar sends. */
const proxies: {
  title: string;
  start: Pick<ProxyStart, 'program' | 'config' | 'replace'>;
  preset: () => ProxyPreset;
  header: string;
  write: (identity: Identity) => string;
  /** What becomes of an expired certificate: some proxies drop it whatever they are told. */
  expired: number | 'refused';
  /** Apache drops every header that the client names in Connection, its own ones too: who does so has no certificate. */
  dropsNamedInConnection?: true;
  /** How the proxy is read where it says that it verified the certificate. */
  verifying?: () => ProxyPreset;
  /** Apache can't tell a verified certificate from another on a resumed session: there it counts as not verified. */
  doubtsResumed?: true;
}[] = [
  {
    title: 'NGINX',
    start: { program: 'nginx', config: 'nginx/nginx.conf' },
    preset: nginx,
    header: 'X-SSL-Client-Cert',
    write: ({ cert }) => encodeURIComponent(cert),
    expired: 400,
    verifying: () => nginx({ verifyHeader }),
  },
  {
    title: 'NGINX with X-FAPI-CLIENT-CERT',
    start: { program: 'nginx', config: 'nginx/fapi.conf' },
    preset: uniIdLibra,
    header: 'X-FAPI-CLIENT-CERT',
    write: ({ cert }) => encodeURIComponent(cert),
    expired: 400,
    verifying: () => uniIdLibra({ verifyHeader }),
  },
  {
    title: 'HAProxy',
    start: { program: 'haproxy', config: 'haproxy/haproxy.cfg' },
    preset: haproxy,
    header: 'X-SSL-Client-Cert',
    write: ({ der }) => der.toString('base64'),
    expired: 200,
    verifying: () => haproxy({ verifyHeader }),
  },
  {
    title: 'Apache httpd',
    start: { program: 'apache2', config: 'apache/apache.conf' },
    preset: apache,
    header: 'X-SSL-Client-Cert',
    write: ({ cert }) => cert.replaceAll('\n', ' '),
    expired: 'refused',
    dropsNamedInConnection: true,
    verifying: () => apache({ verifyHeader }),
    doubtsResumed: true,
  },
  ...(['escape', 'base64'] as const).map((encoding) => ({
    title: `Apache httpd, certificate written by expr=%{${encoding}:...}`,
    start: {
      program: 'apache2' as const,
      config: 'apache/apache.conf',
      replace: { '"%{SSL_CLIENT_CERT}s"': `"expr=%{${encoding}:%{SSL_CLIENT_CERT}}"` },
    },
    preset: () => apache({ encoding: encoding === 'escape' ? 'escaped' : 'base64' }),
    header: 'X-SSL-Client-Cert',
    write: ({ cert }: Identity) =>
      encoding === 'escape' ? encodeURIComponent(cert) : Buffer.from(cert).toString('base64'),
    expired: 'refused' as const,
    dropsNamedInConnection: true as const,
    verifying: () => apache({ verifyHeader, encoding: encoding === 'escape' ? 'escaped' : 'base64' }),
    doubtsResumed: true as const,
  })),
  {
    title: 'Caddy',
    start: { program: 'caddy', config: 'caddy/Caddyfile' },
    preset: caddy,
    header: 'Client-Cert',
    write: ({ der }) => `:${der.toString('base64')}:`,
    expired: 200,
  },
  {
    title: 'Envoy',
    start: { program: 'envoy', config: 'envoy/envoy.yaml' },
    preset: envoy,
    header: 'X-Forwarded-Client-Cert',
    write: ({ cert, thumbprint }) => `Hash=${hexOf(thumbprint)};Cert="${encodeURIComponent(cert)}"`,
    expired: 200,
  },
];

const hexOf = (thumbprint: string): string => Buffer.from(thumbprint, 'base64url').toString('hex');

for (const {
  title,
  start,
  preset,
  header,
  write,
  expired,
  dropsNamedInConnection,
  verifying,
  doubtsResumed,
} of proxies) {
  describeReal(start.program, `behind ${title}`, () => {
    describe.each(frameworks)('%s', (framework) => {
      let through: Through;
      beforeAll(async () => {
        through = await startBehind({ ...start, preset: preset(), framework });
      });
      afterAll(() => through?.close());

      it.each(['alice', 'aliceEc', 'selfSignedRsa', 'selfSignedEc'] as const)(
        '%s passes with its own token and with no other',
        async (identity) => {
          expect(await through.status({ identity, token: identity })).toBe(200);
          expect(await through.status({ identity, token: 'bob' })).toBe(401);
        },
      );

      it('a request without a certificate is answered with 401', async () => {
        expect(await through.status({})).toBe(401);
      });

      it(`an expired certificate is ${expired === 'refused' ? expired : `answered with ${expired}`}`, async () => {
        expect(await through.status({ identity: 'expired', token: 'expired' })).toBe(expired);
      });

      it.each(['TLSv1.2', 'TLSv1.3'] as const)('R178: %s, and a resumed session', async (version) => {
        const tls = { minVersion: version, maxVersion: version };
        expect(await through.status({ identity: 'alice', tls })).toBe(200);
        for (const client of ['alice', 'bob'] as const) {
          const resumed = await statusResumed(through.proxy.port, pki[client], version, client);
          expect(resumed).toMatchObject({ first: 200, reused: true, status: 200 });
        }
      });

      describe.each([
        ['with a certificate of its own', 'bob'],
        ['without a certificate', undefined],
      ] as const)('R168: a client %s that sends the header itself is not believed', (_title, identity) => {
        const caller = identity && { identity };
        const lie = (name: string): [string, string] => [name, write(pki.alice)];
        const proof: [string, string][] = [
          ['X-SSL-Client-Verify', 'SUCCESS'],
          ['X-Proxy-Secret', 'a guess of what it may be'],
        ];
        it.each<[string, () => [string, string][]]>([
          ['as it is', () => [lie(header)]],
          ['in lower case', () => [lie(header.toLowerCase())]],
          ['with underscores', () => [lie(header.replaceAll('-', '_'))]],
          ['twice', () => [lie(header), lie(header)]],
          ['in two spellings', () => [lie(header), lie(header.replaceAll('-', '_'))]],
          ['with a verdict and a secret', () => [lie(header), ...proof]],
          ['named in Connection', () => [['Connection', `close, ${header}`], lie(header)]],
        ])('%s', async (spelling, headers) => {
          expect(await through.status({ ...caller, headers: headers() })).toBe(401);
          if (identity !== undefined) {
            // Nor does the lie harm: the real certificate still counts.
            const dropped = dropsNamedInConnection && spelling === 'named in Connection';
            const status = await through.status({ ...caller, token: 'bob', headers: headers() });
            expect(status).toBe(dropped ? 401 : 200);
          }
        });
      });

      it('two clients in turn over one connection to the API', async () => {
        for (let i = 0; i < 6; i += 1) {
          const [identity, other] = i % 2 === 0 ? (['alice', 'bob'] as const) : (['bob', 'alice'] as const);
          expect(await through.status({ identity, token: identity })).toBe(200);
          expect(await through.status({ identity, token: other })).toBe(401);
        }
        const mixed = [...through.upstreamConnections.values()].filter(
          (seen) => seen.includes('Bearer alice') && seen.includes('Bearer bob'),
        );
        expect(mixed.length).toBeGreaterThan(0);
      });
    });

    it('tokens of a real authorization server are accepted with their own certificate alone', async () => {
      const real = await startAuthorizationServer(pki);
      const { alice, bob } = testClients(pki);
      const more = { issuer: real.issuer, clientSecret: real.secrets.api };
      const through = await startBehind({ ...start, preset: preset(), framework: 'Express', more });
      try {
        const token = await real.token(alice);
        expect(await through.status({ identity: 'alice', token })).toBe(200);
        expect(await through.status({ identity: 'bob', token })).toBe(401);
        expect(await through.status({ identity: 'bob', token: await real.token(bob) })).toBe(200);
      } finally {
        await through.close();
        await real.stop();
      }
    });

    if (!verifying) {
      return;
    }
    it('tells which certificates it verified', async () => {
      const more = { certificatePolicy: { requireVerified: true } };
      const through = await startBehind({ ...start, preset: verifying(), framework: 'Koa', more });
      try {
        expect(await through.status({ identity: 'alice' })).toBe(200);
        expect(await through.status({ identity: 'selfSignedEc', token: 'selfSignedEc' })).toBe(403);
        expect(await through.status({})).toBe(401);
        const headers: [string, string][] = [['X-SSL-Client-Verify', title === 'HAProxy' ? '0' : 'SUCCESS']];
        expect(await through.status({ identity: 'selfSignedEc', token: 'selfSignedEc', headers })).toBe(403);
        for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
          const resumed = (client: 'alice' | 'selfSignedEc') =>
            statusResumed(through.proxy.port, pki[client], version, client);
          expect(await resumed('selfSignedEc')).toMatchObject({ first: 403, reused: true, status: 403 });
          const status = doubtsResumed ? 403 : 200;
          expect(await resumed('alice')).toMatchObject({ first: 200, reused: true, status });
        }
      } finally {
        await through.close();
      }
    });
  });
}

describeReal('envoy', 'an Envoy and clients that write X-Forwarded-Client-Cert themselves', () => {
  const details = 'set_current_client_cert_details: { cert: true }';
  const withNames = { [details]: 'set_current_client_cert_details: { uri: true, dns: true }' };
  const appending = {
    ...withNames,
    'forward_client_cert_details: SANITIZE_SET': 'forward_client_cert_details: APPEND_FORWARD',
  };
  const start = { program: 'envoy', config: 'envoy/envoy.yaml' } as const;
  let withUri: Identity;
  let withDns: Identity;
  let endsList: Identity;
  let honest: Identity;

  beforeAll(async () => {
    const named = (type: 'url' | 'dns', value: string) =>
      issueFrom(pki, 'CN=client', [new x509.SubjectAlternativeNameExtension([{ type, value }])]);
    withUri = await named('url', 'a"');
    withDns = await named('dns', 'a"');
    endsList = await named('url', 'a"}]');
    honest = await named('url', 'spiffe://client');
  });

  const ofAlice = (more: string): [string, string][] => [
    ['X-Forwarded-Client-Cert', `Hash=${hexOf(pki.alice.thumbprint)}${more}`],
  ];

  describe.each(frameworks)('%s', (framework) => {
    it('APPEND_FORWARD: a client that adds an element, or hides the proxy’s in quotes, gets 400', async () => {
      const preset = envoy({ forward: 'append-forward' });
      const through = await startBehind({ ...start, replace: appending, preset, framework });
      try {
        expect(await through.status({ identity: 'alice' })).toBe(200);
        expect(await through.status({ identity: honest })).toBe(401);
        expect(await through.status({ headers: ofAlice('') })).toBe(401);
        for (const identity of [honest, withUri, withDns]) {
          expect(await through.status({ identity, headers: ofAlice('') })).toBe(400);
          expect(await through.status({ identity, headers: ofAlice(';By="') })).toBe(400);
        }
      } finally {
        await through.close();
      }
    });

    it.each([
      ['text', '{ uri: true, dns: true }'],
      ['JSON', '{ uri: true, format: JSON }'],
    ])(
      'APPEND_FORWARD, %s: a client that begins a list, which a name of its certificate ends, gets 400',
      async (_form, written) => {
        const replace = { ...appending, [details]: `set_current_client_cert_details: ${written}` };
        const preset = envoy({ forward: 'append-forward' });
        const through = await startBehind({ ...start, replace, preset, framework });
        const begins = `[{"hash":"${hexOf(pki.alice.thumbprint)}","x":"`;
        try {
          expect(await through.status({ identity: 'alice' })).toBe(200);
          for (const identity of [endsList, withUri, honest]) {
            expect(await through.status({ identity, headers: [['X-Forwarded-Client-Cert', begins]] })).toBe(
              400,
            );
          }
        } finally {
          await through.close();
        }
      },
    );

    it('SANITIZE_SET: nothing of what a client sends counts', async () => {
      const through = await startBehind({ ...start, preset: envoy(), framework });
      try {
        for (const identity of [honest, withUri, withDns]) {
          expect(await through.status({ identity, headers: ofAlice('') })).toBe(401);
          expect(await through.status({ identity, headers: ofAlice(';By="') })).toBe(401);
        }
        expect(await through.status({ identity: 'alice', headers: ofAlice(';By="') })).toBe(200);
      } finally {
        await through.close();
      }
    });

    it('SANITIZE_SET with names: a name with a quote is refused, an honest one is read', async () => {
      const through = await startBehind({ ...start, replace: withNames, preset: envoy(), framework });
      try {
        expect(await through.status({ identity: 'alice' })).toBe(200);
        expect(await through.status({ identity: honest })).toBe(401);
        for (const identity of [withUri, withDns]) {
          expect(await through.status({ identity, headers: ofAlice(';By="') })).toBe(400);
        }
      } finally {
        await through.close();
      }
    });
  });
});

describeReal('nginx', 'the trap of NGINX: a location with a header of its own inherits none', () => {
  const start = { program: 'nginx', config: 'nginx/trap.conf', preset: nginx() } as const;
  const lie = (): ClientCall => ({
    identity: 'bob',
    path: '/reports/',
    headers: [
      ['X-SSL-Client-Cert', encodeURIComponent(pki.alice.cert)],
      ['X-SSL-Client-Verify', 'SUCCESS'],
    ],
  });

  it.each(frameworks)(
    '%s: the secret is missing where the header is forged, so it is not believed',
    async (framework) => {
      const through = await startBehind({ ...start, framework });
      try {
        expect(await through.status({ identity: 'alice' })).toBe(200);
        expect(await through.status(lie())).toBe(401);
        expect(await through.status({ identity: 'alice', path: '/reports/' })).toBe(401);
      } finally {
        await through.close();
      }
    },
  );

  it('without a secret in proxyHeader() the lie would pass: this is what it is for', async () => {
    const through = await startBehind({
      ...start,
      framework: 'Express',
      trust: { secret: undefined as never },
    });
    try {
      expect(await through.status(lie())).toBe(200);
    } finally {
      await through.close();
    }
  });
});

describeReal('nginx', 'other ways from NGINX to the API', () => {
  it.each(frameworks)('%s accepts the header over a unix socket', async (framework) => {
    const through = await startBehind({
      program: 'nginx',
      config: 'nginx/unix-socket.conf',
      preset: nginx(),
      framework,
      upstreamKind: 'unix',
      trust: { trust: 'unix' },
    });
    try {
      expect(await through.status({ identity: 'alice' })).toBe(200);
      expect(await through.status({ identity: 'bob' })).toBe(401);
    } finally {
      await through.close();
    }
  });

  // Only root can run the API and NGINX's workers as two users.
  it.runIf(process.getuid?.() === 0)(
    'workers of another user reach the socket by the steps of the page, and not without them',
    async () => {
      const page = textOf('docs/reference/proxies/nginx.md');
      const [, group = '', mode = ''] = /^install -d -o api -g (\S+) -m (\d+) \/run\/api$/m.exec(page) ?? [];
      const [, options = ''] = /\.listen\(\{ path: '\/run\/api\/api\.sock', (.+?) \}\);/.exec(page) ?? [];
      expect([group, mode, options]).toEqual(['www-data', '750', 'writableAll: true']);
      const groupId = Number(execFileSync('id', ['-g', group], { encoding: 'utf8' }));
      const start = {
        program: 'nginx',
        config: 'nginx/unix-socket.conf',
        preset: nginx(),
        framework: 'Express',
        upstreamKind: 'unix',
        trust: { trust: 'unix' },
        user: group,
      } as const;
      const statusWith = async (socket: NonNullable<Behind['socket']>): Promise<unknown> => {
        const through = await startBehind({ ...start, socket });
        try {
          return await through.status({ identity: 'alice' });
        } finally {
          await through.close();
        }
      };
      const prepare = (folder: string): void => {
        chownSync(folder, 0, groupId);
        chmodSync(folder, Number.parseInt(mode, 8));
      };
      expect(await statusWith({ options: { writableAll: true }, prepare })).toBe(200);
      expect(await statusWith({ options: {}, prepare })).toBe(502);
      // The rights of the folder protect a socket that each user may write to.
      const ofApiAlone = (folder: string): void => chmodSync(folder, 0o750);
      expect(await statusWith({ options: { writableAll: true }, prepare: ofApiAlone })).toBe(502);
    },
  );

  it.each(frameworks)('%s trusts the certificate of the proxy over mutual TLS', async (framework) => {
    const start = {
      program: 'nginx',
      config: 'nginx/mutual-tls-hop.conf',
      preset: nginx(),
      framework,
      upstreamKind: 'mutual TLS',
    } as const;
    const through = await startBehind({ ...start, trust: { proxyCertificate: [pki.proxy.thumbprint] } });
    const other = await startBehind({ ...start, trust: { proxyCertificate: [pki.bob.thumbprint] } });
    try {
      expect(await through.status({ identity: 'alice' })).toBe(200);
      expect(await through.status({ identity: 'bob' })).toBe(401);
      // R180: the proxy's own certificate is not a client certificate.
      expect(await through.status({ token: 'proxy' })).toBe(401);
      expect(await other.status({ identity: 'alice' })).toBe(401);
    } finally {
      await through.close();
      await other.close();
    }
  });
});
