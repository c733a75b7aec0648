// Client-Cert-Chain of RFC 9440: the intermediates of a path, in a header next to Client-Cert.
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as plainRequest } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import {
  createResourceServer,
  type ProblemEvent,
  type ProxyHeaderOptions,
  proxyHeader,
  type RefusedEvent,
  rfc9440,
} from '@mtls-bound/core';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework, frameworks } from '../../support/apis.js';
import { authority, client, type Node } from '../../support/chains.js';
import { close, listen } from '../../support/loopback.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { describeReal } from '../../support/programs.js';
import { type RealProxy, startProxy } from '../../support/real-proxies.js';
import { recordedEvents } from '../../support/recorded-events.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refusals = recordedEvents<RefusedEvent>('mtls-bound:refused');

const root = await authority('CN=Root, O=Directory');
const upper = await authority('CN=Upper, O=Directory', root);
const issuing = await authority('CN=Issuing, O=Directory', upper);
const impostor = await authority('CN=Issuing, O=Directory', await authority('CN=Upper, O=Directory'));
const leaf = await client('CN=tpp', issuing);
const strangers = await Promise.all(
  Array.from({ length: 10 }, (_, at) => authority(`CN=Other ${at}, O=Directory`)),
);

const item = ({ der }: Pick<Node, 'der'>): string => `:${Buffer.from(der).toString('base64')}:`;
const thumbprint = ({ der }: Pick<Node, 'der'>): string =>
  createHash('sha256').update(der).digest('base64url');
const secret = { header: 'x-proxy-secret', value: 'the-secret-of-this-test-run' };

interface Api {
  readonly port: number;
  /** The headers of the last request, as they came. */
  lines(name: string): string[];
  close(): Promise<void>;
}

async function startApi(
  framework: Framework,
  given: {
    readonly preset?: Parameters<typeof rfc9440>[0];
    readonly header?: Partial<ProxyHeaderOptions>;
  } = {},
): Promise<Api> {
  const { preset = { chainHeader: 'Client-Cert-Chain' }, header = {} } = given;
  // A token is the thumbprint that it is bound to.
  const server = pretendServer((token) => boundClaims({ thumbprint: token }));
  const certificate = proxyHeader(rfc9440(preset), { trust: 'loopback', ...header });
  const certificatePolicy = { authorities: root.cert };
  const { listener } = createApi(
    framework,
    optionsOver(server, undefined, { certificate, certificatePolicy }),
  );
  let last: string[] = [];
  const api = createServer({ maxHeaderSize: 128_000 }, (req, res) => {
    last = req.rawHeaders;
    listener(req, res);
  });
  const port = await listen(api);
  return {
    port,
    lines: (name) =>
      last.flatMap((line, at) => (at % 2 === 0 && line.toLowerCase() === name ? [last[at + 1] ?? ''] : [])),
    close: () => close(api),
  };
}

/** The status of a request with these header lines. */
function send(
  port: number,
  lines: readonly (readonly [string, string])[],
  bound: Node = leaf,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = ['Host', 'api', 'Authorization', `Bearer ${thumbprint(bound)}`, ...lines.flat()];
    plainRequest({ host: '127.0.0.1', port, headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

const cert = ['Client-Cert', item(leaf)] as const;
const chain = (...nodes: readonly Node[]) => ['Client-Cert-Chain', nodes.map(item).join(', ')] as const;
const raw = (value: string) => ['Client-Cert-Chain', value] as const;
const missing = /no path leads to one of the authorities/;

type Row = [title: string, lines: readonly (readonly [string, string])[], status: number, why?: RegExp];

const rows: Row[] = [
  ['the chain', [cert, chain(issuing, upper)], 200],
  ['the chain, and the root behind it', [cert, chain(issuing, upper, root)], 200],
  ['the chain in another order', [cert, chain(upper, issuing)], 200],
  ['the chain in two lines', [cert, chain(issuing), chain(upper)], 200],
  [
    'the chain before the certificate, in upper case',
    [['CLIENT-CERT-CHAIN', chain(issuing, upper)[1]], cert],
    200,
  ],
  [
    'others that do not belong to it, and the chain',
    [cert, chain(...strangers.slice(2), issuing, upper)],
    200,
  ],
  ['ten others before the chain: ten count', [cert, chain(...strangers, issuing, upper)], 403, missing],
  ['no chain', [cert], 403, missing],
  ['an empty chain', [cert, raw('')], 403, missing],
  ['half of the chain', [cert, chain(issuing)], 403, missing],
  ['a chain of another authority with the same names', [cert, chain(impostor, upper)], 403, missing],
  ['a text', [cert, raw('garbage')], 400, /^client-cert-chain: not a List of Byte Sequences$/],
  ['a comma at the end', [cert, raw(`${item(issuing)},`)], 400, /^client-cert-chain: not a List/],
  ['a parameter', [cert, raw(`${item(issuing)};a=1, ${item(upper)}`)], 400, /^client-cert-chain: not a List/],
  ['an inner list', [cert, raw(`(${item(issuing)} ${item(upper)})`)], 400, /^client-cert-chain: not a List/],
  ['one without colons', [cert, raw(item(issuing).slice(1, -1))], 400, /^client-cert-chain: not a List/],
  [
    'a good line and a bad one',
    [cert, chain(issuing, upper), raw('x')],
    400,
    /^client-cert-chain: not a List/,
  ],
  [
    'a good line and an empty one',
    [cert, chain(issuing, upper), raw('')],
    400,
    /^client-cert-chain: not a List/,
  ],
  [
    'bytes that are no certificate',
    [cert, raw(`${item(issuing)}, :MQA=:`)],
    400,
    /not exactly one DER certificate$/,
  ],
  [
    'two certificates in one item',
    [cert, raw(item({ der: Buffer.concat([issuing.der, upper.der]) }))],
    400,
    /DER/,
  ],
  [
    'a chain without a certificate',
    [chain(issuing, upper)],
    400,
    /^client-cert-chain: it came without a certificate$/,
  ],
  [
    'a chain and an empty certificate',
    [['Client-Cert', ''], chain(issuing)],
    400,
    /it came without a certificate$/,
  ],
  ['an empty chain without a certificate', [raw('')], 401],
  [
    'the certificate twice, with its chain',
    [cert, cert, chain(issuing, upper)],
    400,
    /^client-cert: it came several/,
  ],
  [
    'a chain longer than maxLength',
    [cert, raw(Array(80).fill(item(issuing)).join(', '))],
    400,
    /than maxLength$/,
  ],
];

describe.each(frameworks)('%s', (framework) => {
  it.each<Row>(rows)('%s', async (_title, lines, status, why) => {
    const api = await startApi(framework);
    try {
      // The second request finds the certificate known.
      expect([await send(api.port, lines), await send(api.port, lines)]).toEqual([status, status]);
      expect(refusals[0]?.refusal.detail ?? '').toMatch(why ?? /^(?!client-cert-chain)/);
      const malformed = problems.filter(({ code }) => code === 'certificate_malformed').length;
      expect(malformed > 0).toBe(status === 400);
    } finally {
      await api.close();
    }
  });

  it('the same certificate with another chain is judged by that chain, until one leads to an authority', async () => {
    const api = await startApi(framework);
    try {
      const statuses: number[] = [];
      for (const lines of [[cert], [cert, chain(impostor)], [cert, chain(issuing, upper)], [cert]]) {
        statuses.push(await send(api.port, lines));
      }
      // Once a path is known, it is kept, as for a resumed TLS session.
      expect(statuses).toEqual([403, 403, 200, 200]);
    } finally {
      await api.close();
    }
  });

  it('what an untrusted peer says is not read', async () => {
    const api = await startApi(framework, { header: { trust: ['10.0.0.5'], secret } });
    try {
      expect(await send(api.port, [cert, chain(issuing, upper)])).toBe(401);
      expect(await send(api.port, [cert, raw('garbage')])).toBe(401);
      expect(problems.map(({ code }) => code)).toEqual(['untrusted_proxy', 'untrusted_proxy']);
    } finally {
      await api.close();
    }
  });

  it('R173: without the option it is not read', async () => {
    const api = await startApi(framework, { preset: {} });
    try {
      expect(await send(api.port, [cert, chain(issuing, upper)])).toBe(403);
      expect(await send(api.port, [cert, raw('garbage')])).toBe(403);
    } finally {
      await api.close();
    }
  });

  it('under another name', async () => {
    const preset = { header: 'X-Client-Cert-Leaf', chainHeader: 'X-Client-Cert-Chain' };
    const api = await startApi(framework, { preset });
    const own = ['x-client-cert-leaf', item(leaf)] as const;
    try {
      expect(await send(api.port, [own, chain(issuing, upper)])).toBe(403);
      expect(await send(api.port, [own, ['x-client-cert-chain', chain(issuing, upper)[1]]])).toBe(200);
    } finally {
      await api.close();
    }
  });
});

it.each<[string, Parameters<typeof rfc9440>[0], string]>([
  ['a name with an underscore', { chainHeader: 'client_cert_chain' }, 'a string of 17 characters'],
  ['the header of the certificate', { chainHeader: 'client-cert' }, 'the header of the certificate'],
  [
    'the header of the verdict',
    { chainHeader: 'X-Verdict', verifyHeader: 'x-verdict', isVerified: () => true },
    'the header of the verdict',
  ],
])('rfc9440().chainHeader refuses %s', (_title, options, got) => {
  expect(() => rfc9440(options)).toThrow(mismatch('rfc9440().chainHeader', got));
});

it('a source says which header its chain comes from', () => {
  const source = proxyHeader(rfc9440({ chainHeader: 'Client-Cert-Chain' }), { trust: 'loopback' });
  expect(source.chainHeader).toBe('client-cert-chain');
  expect(proxyHeader(rfc9440(), { trust: 'loopback' }).chainHeader).toBeUndefined();
  const server = pretendServer(() => ({}));
  expect(() => createResourceServer(optionsOver(server, undefined, { certificate: source }))).not.toThrow();
});

describeReal('apache2', 'a real Apache that writes RFC 9440', () => {
  const own = mkdtempSync(join(tmpdir(), 'mtls-bound-rfc9440-'));
  writeFileSync(join(own, 'roots.pem'), root.cert);
  afterAll(() => rmSync(own, { recursive: true }));

  it.each(frameworks)(
    '%s: the chain of the handshake leads to the authority, a client’s own copy to nothing',
    async (framework) => {
      const pki = await createPki();
      const api = await startApi(framework, { header: { secret } });
      let proxy: RealProxy | undefined;
      const through = (
        nodes: readonly Node[],
        headers: Record<string, string | string[]> = {},
      ): Promise<number | 'refused'> =>
        new Promise((resolve) => {
          request(
            {
              host: '127.0.0.1',
              port: proxy?.port,
              servername: 'api.example.com',
              ca: pki.ca.cert,
              ...(nodes.length > 0 && { cert: nodes.map((one) => one.cert).join(''), key: nodes[0]?.key }),
              agent: false,
              headers: { authorization: `Bearer ${thumbprint(nodes[0] ?? leaf)}`, ...headers },
            },
            (response) => {
              response.resume();
              resolve(response.statusCode ?? 0);
            },
          )
            .on('error', () => resolve('refused'))
            .end();
        });
      try {
        proxy = await startProxy({
          program: 'apache2',
          config: 'apache/rfc9440.conf',
          pki,
          upstream: api.port,
          secret: secret.value,
          replace: { 'clients-ca.pem': `../${basename(own)}/roots.pem` },
        });
        const direct = await client('CN=direct', root);
        expect(await through([leaf, issuing, upper])).toBe(200);
        expect(api.lines('client-cert')).toEqual([item(leaf)]);
        expect(api.lines('client-cert-chain').join()).toBe([issuing, upper].map(item).join());
        // Without intermediates there is no header of them, whatever the client says.
        const forged = { 'client-cert-chain': [item(issuing), 'garbage'], 'client-cert': item(leaf) };
        expect(await through([direct], forged)).toBe(200);
        expect([api.lines('client-cert'), api.lines('client-cert-chain')]).toEqual([[item(direct)], []]);
        expect(await through([leaf, issuing, upper], forged)).toBe(200);
        expect(api.lines('client-cert-chain').join()).toBe([issuing, upper].map(item).join());
        expect(await through([], forged)).toBe(401);
        expect([api.lines('client-cert'), api.lines('client-cert-chain')]).toEqual([[], []]);
        expect(await through([await client('CN=tpp', impostor), impostor])).toBe('refused');
      } finally {
        await proxy?.close();
        await api.close();
      }
    },
  );
});
