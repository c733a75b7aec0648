import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { type ProxyStart, startProxy } from '../../support/real-proxies.js';
import {
  type Arrival,
  callProxy,
  callProxyOverHttp2,
  callProxyRaw,
  type HeaderLine,
  type Outcome,
  type ProxyCall,
  startRecordingApi,
} from '../../support/recording-api.js';

// What real proxies hand over, told by nothing of ours: an API that guards nothing writes down what arrives, and each
// proxy's value is read by a line of its own here.

const secret = 'the-secret-of-this-test-run';
const forged = 'forged-by-the-client';

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});

type Client = 'alice' | 'aliceEc' | 'selfSignedRsa' | 'selfSignedEc' | 'expired' | 'noCertificate';
type Version = 'TLSv1.2' | 'TLSv1.3';
const versions: Version[] = ['TLSv1.2', 'TLSv1.3'];

interface Row {
  readonly title: string;
  readonly start: Pick<ProxyStart, 'program' | 'config' | 'replace'>;
  readonly header: string;
  readonly der: (value: string) => Buffer;
  /** What the header holds for a client without a certificate. */
  readonly none: readonly string[];
  /** What the verify header says, where there is one. */
  readonly verdict?: (client: Client, version: Version, resumed: boolean) => readonly string[];
  /** What becomes of an expired certificate, whatever the proxy is told. */
  readonly expired: 'handed over' | 400 | 'refused';
  readonly http2: boolean;
  /** Names with underscores are other names to Node; NGINX alone drops them. */
  readonly passesUnderscores: boolean;
  /** Apache drops a header that the client names in Connection, its own ones too. */
  readonly dropsNamedInConnection: boolean;
}

const fromPem = (pem: string): Buffer => Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');

const opensslVerdict = (client: Client): readonly string[] =>
  client === 'noCertificate'
    ? ['NONE']
    : [client.startsWith('self') ? 'FAILED:self-signed certificate' : 'SUCCESS'];

const haproxyVerdict = (client: Client): readonly string[] =>
  client === 'noCertificate' ? [] : [client.startsWith('self') ? '18' : client === 'expired' ? '10' : '0'];

const apacheVerdict: Row['verdict'] = (client, version, resumed) => {
  if (resumed) {
    return ['RESUMED'];
  }
  return client.startsWith('self') && version === 'TLSv1.2' ? ['GENEROUS'] : opensslVerdict(client);
};

const nginxRow = {
  header: 'X-SSL-Client-Cert',
  der: (value: string) => fromPem(decodeURIComponent(value)),
  none: [],
  verdict: opensslVerdict,
  expired: 400,
  http2: true,
  passesUnderscores: false,
  dropsNamedInConnection: false,
} as const;

const apacheRow = {
  header: 'X-SSL-Client-Cert',
  verdict: apacheVerdict,
  expired: 'refused',
  http2: false,
  passesUnderscores: true,
  dropsNamedInConnection: true,
} as const;

const apacheWriting = (encoding: string): Row['start'] => ({
  program: 'apache2',
  config: 'apache/apache.conf',
  replace: { '"%{SSL_CLIENT_CERT}s"': `"expr=%{${encoding}:%{SSL_CLIENT_CERT}}"` },
});

const rows: Row[] = [
  { title: 'NGINX', start: { program: 'nginx', config: 'nginx/nginx.conf' }, ...nginxRow },
  {
    title: 'NGINX with X-FAPI-CLIENT-CERT',
    start: { program: 'nginx', config: 'nginx/fapi.conf' },
    ...nginxRow,
    header: 'X-FAPI-CLIENT-CERT',
  },
  {
    title: 'HAProxy',
    start: { program: 'haproxy', config: 'haproxy/haproxy.cfg' },
    header: 'X-SSL-Client-Cert',
    der: (value) => Buffer.from(value, 'base64'),
    none: [],
    verdict: haproxyVerdict,
    expired: 'handed over',
    http2: true,
    passesUnderscores: true,
    dropsNamedInConnection: false,
  },
  {
    title: 'Apache httpd',
    start: { program: 'apache2', config: 'apache/apache.conf' },
    ...apacheRow,
    der: fromPem,
    none: ['(null)'],
  },
  {
    title: 'Apache httpd, certificate written by expr=%{escape:...}',
    start: apacheWriting('escape'),
    ...apacheRow,
    der: (value) => fromPem(decodeURIComponent(value)),
    none: [''],
  },
  {
    title: 'Apache httpd, certificate written by expr=%{base64:...}',
    start: apacheWriting('base64'),
    ...apacheRow,
    der: (value) => fromPem(Buffer.from(value, 'base64').toString()),
    none: [''],
  },
  {
    title: 'Caddy',
    start: { program: 'caddy', config: 'caddy/Caddyfile' },
    header: 'Client-Cert',
    der: (value) => Buffer.from(value.slice(1, -1), 'base64'),
    none: [':{http.request.tls.client.certificate_der_base64}:'],
    expired: 'handed over',
    http2: true,
    passesUnderscores: true,
    dropsNamedInConnection: false,
  },
];

/** Every value of a header, none joined. */
function valuesOf(arrival: Arrival | undefined, name: string): string[] {
  const lines = arrival?.headers ?? [];
  return lines.filter(([line]) => line.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

interface Started {
  readonly port: number;
  call(client: Client, more?: Partial<ProxyCall>): ProxyCall;
  close(): Promise<void>;
}

async function startRecorded(
  start: Row['start'],
  hop: Parameters<typeof startRecordingApi>[0] = {},
): Promise<Started> {
  const api = await startRecordingApi(hop);
  try {
    const proxy = await startProxy({ ...start, pki, upstream: api.upstream, secret });
    return {
      port: proxy.port,
      call: (client, more) => ({ port: proxy.port, pki, identity: identityOf(client), ...more }),
      close: async () => {
        await proxy.close();
        await api.close();
      },
    };
  } catch (error) {
    await api.close();
    throw error;
  }
}

function identityOf(client: Client): Identity | undefined {
  return client === 'noCertificate' ? undefined : pki[client];
}

describe.each(rows)('$title', (row) => {
  describeReal(row.start.program, 'hands over', () => {
    let proxy: Started;
    beforeAll(async () => {
      proxy = await startRecorded(row.start);
    });
    afterAll(() => proxy?.close());

    /** The whole truth about the client, once, and the proxy's own word for the rest. */
    function expectHandedOver(
      { status, arrival }: Outcome,
      client: Client,
      version: Version,
      resumed = false,
    ): void {
      expect(status).toBe(200);
      const values = valuesOf(arrival, row.header);
      const identity = identityOf(client);
      if (identity === undefined) {
        expect(values).toEqual(row.none);
      } else {
        expect(values.map((value) => row.der(value).toString('hex'))).toEqual([identity.der.toString('hex')]);
      }
      expect(valuesOf(arrival, 'X-Proxy-Secret')).toEqual([secret]);
      if (row.verdict) {
        expect(valuesOf(arrival, 'X-SSL-Client-Verify')).toEqual(row.verdict(client, version, resumed));
      }
    }

    describe.each(versions)('%s', (version) => {
      it.each<Client>(['alice', 'aliceEc', 'selfSignedRsa', 'selfSignedEc', 'noCertificate'])(
        '%s: exactly its certificate',
        async (client) => {
          expectHandedOver(await callProxy(proxy.call(client, { version })), client, version);
        },
      );

      it(`an expired certificate is ${row.expired === 400 ? 'answered with 400' : row.expired}`, async () => {
        const outcome = await callProxy(proxy.call('expired', { version }));
        if (row.expired === 'handed over') {
          expectHandedOver(outcome, 'expired', version);
        } else {
          expect(outcome).toEqual({ status: row.expired });
        }
      });

      it.each<Client>(['alice', 'selfSignedEc', 'noCertificate'])(
        '%s, who comes back with a session',
        async (client) => {
          const first = await callProxyRaw(proxy.call(client, { version }));
          expectHandedOver(first, client, version);
          const again = await callProxyRaw({ ...proxy.call(client, { version }), session: first.session });
          expect([first.reused, again.reused]).toEqual([false, true]);
          expectHandedOver(again, client, version, true);
        },
      );
    });

    const fold = (name: string): string => name.replaceAll('-', '_');
    const mixed = (name: string): string =>
      name.replace(/[a-z]/gi, (c, i) => (i % 2 ? c.toUpperCase() : c.toLowerCase()));
    const ours = [row.header, 'X-Proxy-Secret', ...(row.verdict ? ['X-SSL-Client-Verify'] : [])];
    const spellings: [string, (name: string) => HeaderLine[]][] = [
      ['as it is', (name) => [[name, forged]]],
      ['in lower case', (name) => [[name.toLowerCase(), forged]]],
      ['in mixed case', (name) => [[mixed(name), forged]]],
      ['with underscores', (name) => [[fold(name), forged]]],
      [
        'twice',
        (name) => [
          [name, forged],
          [name, `${forged} again`],
        ],
      ],
      [
        'in two spellings',
        (name) => [
          [name, forged],
          [fold(name), forged],
        ],
      ],
      ['empty', (name) => [[name, '']]],
    ];
    const protocols = row.http2 ? [callProxy, callProxyOverHttp2] : [callProxy];

    describe.each<Client>(['alice', 'noCertificate'])('R168: %s, who sends the headers itself', (client) => {
      it.each(spellings)('%s: none arrives under a name that is read', async (_spelling, spell) => {
        for (const send of protocols) {
          const outcome = await send(
            proxy.call(client, { headers: ours.flatMap(spell), version: 'TLSv1.3' }),
          );
          expectHandedOver(outcome, client, 'TLSv1.3');
        }
      });

      it(`a header with underscores ${row.passesUnderscores ? 'goes on, under another name' : 'is dropped'}`, async () => {
        const { arrival } = await callProxy(proxy.call(client, { headers: [[fold(row.header), forged]] }));
        expect(valuesOf(arrival, fold(row.header))).toEqual(row.passesUnderscores ? [forged] : []);
      });

      it('and names them in Connection: all are there, or the secret is missing too', async () => {
        const lines: HeaderLine[] = [
          ['Connection', `close, ${ours.join(', ')}`],
          [row.header, forged],
        ];
        const outcome = await callProxy(proxy.call(client, { headers: lines, version: 'TLSv1.3' }));
        if (row.dropsNamedInConnection) {
          expect(outcome.status).toBe(200);
          expect(ours.flatMap((name) => valuesOf(outcome.arrival, name))).toEqual([]);
        } else {
          expectHandedOver(outcome, client, 'TLSv1.3');
        }
      });

      it.each([
        ['a blank before the colon', [`${row.header} : ${forged}`]],
        ['a tab before the colon', [`${row.header}\t: ${forged}`]],
        ['behind a bare line feed', [`X-A: b\n${row.header}: ${forged}`]],
        ['behind a bare carriage return', [`X-A: b\r${row.header}: ${forged}`]],
        ['as a folded line', ['X-A: b', ` ${row.header}: ${forged}`]],
        ['with a folded value', [`${row.header}: ${forged}`, '\tand more']],
        ['with a zero byte', [`${row.header}\0: ${forged}`]],
      ])('%s: refused by the proxy, or replaced', async (_trick, lines) => {
        const outcome = await callProxyRaw({ ...proxy.call(client, { version: 'TLSv1.3' }), lines });
        if (outcome.arrival === undefined) {
          expect(outcome.status).toBe(400);
        } else {
          expectHandedOver(outcome, client, 'TLSv1.3');
        }
      });
    });

    it('two clients, and requests without a certificate, in turn over one connection to the API, each with its own', async () => {
      const seen = new Map<number, Set<Client>>();
      for (let round = 0; round < 4; round += 1) {
        for (const client of ['alice', 'selfSignedEc', 'noCertificate'] as const) {
          const outcome = await callProxy(proxy.call(client, { version: 'TLSv1.3' }));
          expectHandedOver(outcome, client, 'TLSv1.3');
          const connection = outcome.arrival?.connection ?? -1;
          seen.set(connection, (seen.get(connection) ?? new Set()).add(client));
        }
      }
      expect(Math.max(...[...seen.values()].map((clients) => clients.size))).toBe(3);
    });
  });
});

describeReal('apache2', 'the verdict of Apache on a resumed session', () => {
  const guard =
    '    RequestHeader set X-SSL-Client-Verify "RESUMED" "expr=%{SSL_SESSION_RESUMED} == \'Resumed\'"\n';

  /** What Apache says of a client's first connection, and of the one that resumes its session. */
  async function verdicts(
    replace: Record<string, string>,
    client: Client,
    version: Version,
  ): Promise<string[]> {
    const proxy = await startRecorded({ program: 'apache2', config: 'apache/apache.conf', replace });
    try {
      const first = await callProxyRaw(proxy.call(client, { version }));
      const again = await callProxyRaw({ ...proxy.call(client, { version }), session: first.session });
      expect(again.reused).toBe(true);
      return [first, again].flatMap(({ arrival }) => valuesOf(arrival, 'X-SSL-Client-Verify'));
    } finally {
      await proxy.close();
    }
  }

  it('without the guard, a self-signed certificate counts as verified the second time (TLS 1.2)', async () => {
    expect(await verdicts({ [guard]: '' }, 'selfSignedEc', 'TLSv1.2')).toEqual(['GENEROUS', 'SUCCESS']);
  });

  it.each(versions)('with "optional" it needs no guard (%s)', async (version) => {
    const replace = { [guard]: '', 'optional_no_ca\n': 'optional\n' };
    expect(await verdicts(replace, 'alice', version)).toEqual(['SUCCESS', 'SUCCESS']);
  });

  it('with "optional" no self-signed certificate gets past the handshake', async () => {
    const replace = { [guard]: '', 'optional_no_ca\n': 'optional\n' };
    const proxy = await startRecorded({ program: 'apache2', config: 'apache/apache.conf', replace });
    try {
      for (const version of versions) {
        expect(await callProxy(proxy.call('selfSignedEc', { version }))).toEqual({ status: 'refused' });
      }
    } finally {
      await proxy.close();
    }
  });
});

describeReal('nginx', 'the trap of NGINX', () => {
  it('where a location sets a header of its own, the forged ones arrive and the secret does not', async () => {
    const proxy = await startRecorded({ program: 'nginx', config: 'nginx/trap.conf' });
    const headers: HeaderLine[] = [
      ['X-SSL-Client-Cert', encodeURIComponent(pki.bob.cert)],
      ['X-SSL-Client-Verify', 'SUCCESS'],
    ];
    const names = ['X-SSL-Client-Cert', 'X-SSL-Client-Verify', 'X-Proxy-Secret'];
    try {
      const safe = await callProxy(proxy.call('selfSignedEc', { headers }));
      expect(names.flatMap((name) => valuesOf(safe.arrival, name)).slice(1)).toEqual([
        'FAILED:self-signed certificate',
        secret,
      ]);
      expect(nginxRow.der(valuesOf(safe.arrival, names[0] ?? '')[0] ?? '')).toEqual(pki.selfSignedEc.der);
      const trapped = await callProxy(proxy.call('selfSignedEc', { headers, path: '/reports/' }));
      expect(names.map((name) => valuesOf(trapped.arrival, name))).toEqual([
        [encodeURIComponent(pki.bob.cert)],
        ['SUCCESS'],
        [],
      ]);
    } finally {
      await proxy.close();
    }
  });
});

describeReal('nginx', 'other ways from NGINX to the API', () => {
  const expectAlice = ({ arrival }: Outcome): void => {
    expect(valuesOf(arrival, 'X-SSL-Client-Cert').map(nginxRow.der)).toEqual([pki.alice.der]);
    expect(valuesOf(arrival, 'X-Proxy-Secret')).toEqual([secret]);
  };

  it('over a unix socket, where the peer has no address', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-api-'));
    chmodSync(folder, 0o755);
    const proxy = await startRecorded(
      { program: 'nginx', config: 'nginx/unix-socket.conf' },
      { socketPath: join(folder, 'api.sock') },
    );
    try {
      const outcome = await callProxy(proxy.call('alice'));
      expectAlice(outcome);
      expect(outcome.arrival?.peerAddress).toBeNull();
    } finally {
      await proxy.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('over mutual TLS, the certificate of NGINX is on the connection and that of the client in the header', async () => {
    const proxy = await startRecorded(
      { program: 'nginx', config: 'nginx/mutual-tls-hop.conf' },
      { mutualTls: pki },
    );
    try {
      const outcome = await callProxy(proxy.call('alice'));
      expectAlice(outcome);
      expect(outcome.arrival?.peerCertificate).toBe(pki.proxy.der.toString('hex'));
    } finally {
      await proxy.close();
    }
  });
});
