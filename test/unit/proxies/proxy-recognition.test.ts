// proxyCertificate by name: what the option accepts, and what is remembered of the certificates of proxies.
import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CertificateSource,
  ClientCertificate,
  ConfigurationError,
  createResourceServer,
  nginx,
  type ProblemEvent,
  proxyHeader,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import { client, type Node } from '../../support/chains.js';
import { mismatch } from '../../support/mismatch.js';
import { impostor, issuing, mesh, named, otherAuthority, proxyId } from '../../support/named-proxy-cases.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

await library.load();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-named-'));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const day = 86_400_000;
const withId = named(['url', proxyId]);
const alice = await client('CN=alice', otherAuthority);
const header = 'x-ssl-client-cert';

/** A connection over TLS 1.3 with these certificates, the first one the peer's own. */
function connectionBy(chain: readonly Node[]) {
  let peer: { raw: Buffer; issuerCertificate?: object } | undefined;
  for (const { der } of chain.toReversed()) {
    peer = { raw: Buffer.from(der), ...(peer && { issuerCertificate: peer }) };
  }
  return {
    remoteAddress: '127.0.0.1',
    encrypted: true,
    authorized: false,
    authorizationError: 'UNABLE_TO_GET_ISSUER_CERT',
    getProtocol: () => 'TLSv1.3',
    getPeerX509Certificate: () => peer,
  };
}

function deciding(source: CertificateSource, more: ResourceServerOptions = {}) {
  const token = boundClaims(new ClientCertificate(alice.der), {
    exp: Math.floor(Date.now() / 1000) + 90 * 86_400,
  });
  const server = pretendServer(() => token);
  const resourceServer = createResourceServer(
    optionsOver(server, undefined, { certificate: source, ...more }),
  );
  const decide = (connection: object) =>
    outcomeOf(() =>
      resourceServer.authorize(
        requestWith('token', { [header]: encodeURIComponent(alice.cert) }, connection),
      ),
    );
  return { decide, resourceServer };
}

const sourceBy = (proxyCertificate: unknown) =>
  proxyHeader(nginx(), { trust: 'loopback', proxyCertificate: proxyCertificate as never });

describe('what is remembered', () => {
  it('a certificate is verified once for all of its connections, and each request is a look-up', async () => {
    const { decide } = deciding(sourceBy({ ca: mesh.cert, uri: proxyId }));
    const chain = [await client('CN=proxy', issuing, withId), issuing];
    const verify = vi.spyOn(X509Certificate.prototype, 'verify');
    const outcomes = [];
    for (let connections = 0; connections < 3; connections += 1) {
      const connection = connectionBy(chain);
      outcomes.push(await decide(connection), await decide(connection));
    }
    expect(new Set(outcomes)).toEqual(new Set(['admitted']));
    expect(verify).toHaveBeenCalledTimes(2);
  });

  it('a certificate with another name costs no signature, whatever chain comes with it', async () => {
    const { decide } = deciding(sourceBy({ ca: mesh.cert, uri: proxyId }));
    const verify = vi.spyOn(X509Certificate.prototype, 'verify');
    const other = await client('CN=cart', issuing, named(['url', 'spiffe://mesh.example/ns/shop/sa/cart']));
    expect(await decide(connectionBy([other, issuing]))).toBe('certificate_missing');
    expect(problems.at(-1)?.message).toMatch(/and it has another$/);
    expect(verify).not.toHaveBeenCalled();
  });

  it('a certificate that can not be read is refused for that, not for its chain', async () => {
    const { decide } = deciding(sourceBy({ ca: mesh.cert, uri: proxyId }));
    const proxy = await client('CN=proxy', issuing, withId);
    const der = Buffer.from(proxy.der);
    // The validity: a SEQUENCE of two times of 13 characters.
    const at = der.indexOf(Buffer.from([0x30, 0x1e, 0x17, 0x0d]));
    der.write('x', at + 4);
    expect(await decide(connectionBy([{ ...proxy, der }, issuing]))).toBe('certificate_missing');
    expect(problems.at(-1)?.message).toMatch(
      /, and its names can not be read: its validity can not be read$/,
    );
  });

  it('what may be a credential in a URI of a certificate is not shown', async () => {
    const { decide } = deciding(sourceBy({ ca: mesh.cert, uri: proxyId }));
    const secret = 'https://user:s3cret@host.example/path?access_token=t0ken#f';
    expect(
      await decide(connectionBy([await client('CN=cart', issuing, named(['url', secret])), issuing])),
    ).toBe('certificate_missing');
    const text = JSON.stringify(problems);
    expect(text).toContain('uri ');
    expect(text).toContain('@host.example/path?[hidden]');
    expect(text).not.toMatch(/s3cret|t0ken/);
  });

  it('a certificate that expires during its connection does not count any more', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { decide } = deciding(sourceBy({ ca: mesh.cert, uri: proxyId }));
    const connection = connectionBy([await client('CN=proxy', mesh, { ...withId, to: 10 })]);
    expect(await decide(connection)).toBe('admitted');
    vi.setSystemTime(Date.now() + 9 * day);
    expect(await decide(connection)).toBe('admitted');
    vi.setSystemTime(Date.now() + 2 * day);
    expect(await decide(connection)).toBe('certificate_missing');
    expect(problems.at(-1)?.message).toMatch(/it has expired$/);
  });

  it('a certificate that is not valid yet counts from its time on', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { decide } = deciding(sourceBy({ ca: mesh.cert, uri: proxyId }));
    const connection = connectionBy([await client('CN=proxy', mesh, { ...withId, from: 1 })]);
    expect(await decide(connection)).toBe('certificate_missing');
    vi.setSystemTime(Date.now() + 2 * day);
    expect(await decide(connection)).toBe('admitted');
  });

  it('a session that another process began counts from the first whole handshake on', async () => {
    const { decide } = deciding(sourceBy({ ca: mesh.cert, uri: proxyId }));
    const proxy = await client('CN=proxy', issuing, withId);
    const resumed = connectionBy([proxy]);
    const outcomes = [
      await decide(resumed),
      await decide(connectionBy([proxy, issuing])),
      await decide(resumed),
    ];
    expect(outcomes).toEqual(['certificate_missing', 'admitted', 'admitted']);
  });

  it('what counts as a path for one certificate is none for another of the same name', async () => {
    const { decide } = deciding(sourceBy({ ca: mesh.cert, uri: proxyId }));
    const [proxy, forged] = await Promise.all([
      client('CN=proxy', issuing, withId),
      client('CN=proxy', { ...issuing, keys: impostor.keys }, withId),
    ]);
    const outcomes = [];
    for (const chain of [[proxy, issuing], [forged], [forged, issuing], [proxy]]) {
      outcomes.push(await decide(connectionBy(chain)));
    }
    expect(outcomes).toEqual(['admitted', 'certificate_missing', 'certificate_missing', 'admitted']);
  });
});

describe('the authorities', () => {
  it('a file is read again; if it can not be read, the last good one counts and a problem says so', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const file = join(folder, 'ca.pem');
    writeFileSync(file, mesh.cert);
    const { decide } = deciding(sourceBy({ ca: file, uri: proxyId }));
    const [old, next] = await Promise.all([
      client('CN=proxy', mesh, withId),
      client('CN=proxy', otherAuthority, withId),
    ]);
    const both = async () => {
      vi.setSystemTime(Date.now() + 61_000);
      return [await decide(connectionBy([old])), await decide(connectionBy([next]))];
    };
    expect(await both()).toEqual(['admitted', 'certificate_missing']);
    writeFileSync(file, mesh.cert + otherAuthority.cert);
    expect(await both()).toEqual(['admitted', 'admitted']);
    writeFileSync(file, otherAuthority.cert);
    expect(await both()).toEqual(['certificate_missing', 'admitted']);
    writeFileSync(file, 'half of a file');
    expect(await both()).toEqual(['certificate_missing', 'admitted']);
    rmSync(file);
    expect(await both()).toEqual(['certificate_missing', 'admitted']);
    expect(problems.filter(({ code }) => code === 'authorities_unreadable')).toHaveLength(2);
    expect(problems.find(({ code }) => code === 'authorities_unreadable')?.message).toMatch(
      /^proxyHeader\(\)\.proxyCertificate\.ca can not be read again: /,
    );
  });

  it('an authority that leaves the file ends the trust of a connection that is open', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const file = join(folder, 'leaving.pem');
    writeFileSync(file, mesh.cert);
    const { decide } = deciding(sourceBy([{ ca: file, uri: proxyId }]));
    const connection = connectionBy([await client('CN=proxy', mesh, withId)]);
    expect(await decide(connection)).toBe('admitted');
    writeFileSync(file, otherAuthority.cert);
    vi.setSystemTime(Date.now() + 61_000);
    expect(await decide(connection)).toBe('certificate_missing');
  });

  it('a function is waited for; while it fails, and before it has answered, requests get 503', async () => {
    let answer: () => Promise<string> = () => Promise.reject(new Error('no answer'));
    const source = sourceBy({ ca: () => answer(), uri: proxyId });
    const { decide, resourceServer } = deciding(source);
    const connection = connectionBy([await client('CN=proxy', mesh, withId)]);
    expect(await decide(connection)).toBe('internal_error');
    await expect(resourceServer.ready()).rejects.toMatchObject({ code: 'internal_error' });
    answer = async () => mesh.cert;
    expect(await decide(connection)).toBe('admitted');
  });

  it('with binding: "report" too', async () => {
    const source = sourceBy({ ca: () => Promise.reject(new Error('no answer')), uri: proxyId });
    const { decide } = deciding(source, { binding: 'report' });
    expect(await decide(connectionBy([await client('CN=proxy', mesh, withId)]))).toBe('internal_error');
  });

  it('a source that wraps it without its prepare gets 503, never a certificate', async () => {
    const source = sourceBy({ ca: async () => mesh.cert, uri: proxyId });
    const connection = connectionBy([await client('CN=proxy', mesh, withId)]);
    const { decide } = deciding((req) => source(req));
    expect(await decide(connection)).toBe('internal_error');
    // The call has begun to read them.
    await vi.waitFor(async () => expect(await decide(connection)).toBe('admitted'));
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
  ])('a source of your own whose prepare %s gets 503', async (_, prepare) => {
    const source = Object.assign(() => new ClientCertificate(alice.der), { prepare });
    expect(await deciding(source).decide({})).toBe('internal_error');
  });

  it('a source of your own is called once its prepare has settled', async () => {
    const order: string[] = [];
    const source = Object.assign(
      () => {
        order.push('called');
        return new ClientCertificate(alice.der);
      },
      { prepare: async () => void order.push('prepared') },
    );
    expect(await deciding(source).decide({})).toBe('admitted');
    expect(order).toEqual(['prepared', 'called']);
  });
});

it('the text for operators shows few names of each kind, short and in ASCII', async () => {
  const uris = Array.from({ length: 9 }, (_, at) => ['url', `urn:${at}:${'x'.repeat(400)}`] as const);
  const source = sourceBy({ ca: mesh.cert, uri: proxyId });
  const { decide } = deciding(source);
  const proxy = await client('CN=pröxy\u202e', mesh, named(...uris, ['dns', 'a.example']));
  expect(await decide(connectionBy([proxy]))).toBe('certificate_missing');
  const [problem] = problems;
  expect(problem?.message).toContain(`uri "urn:0:${'x'.repeat(194)}" or "urn:1:`);
  expect(problem?.message).toContain(' and 6 more, dns "a.example", subject "CN=pr?xy?")');
  expect(problem?.message).toMatch(/^[\x20-\x7e]{300,1500}$/);
});

describe('the option refuses at start', () => {
  const ca = mesh.cert;
  const path = 'proxyHeader().proxyCertificate';
  const badFile = join(folder, 'bad.pem');
  writeFileSync(badFile, 'no certificate');
  const leafFile = join(folder, 'leaf.pem');
  writeFileSync(leafFile, alice.cert);

  it.each<[string, unknown, RegExp]>([
    ['an empty list', [], mismatch(path, 'a list', 'an object of ca and one of uri, dns and subject')],
    ['a text', proxyId, mismatch(path, `a string of ${proxyId.length} characters`)],
    ['a list with a text that is no thumbprint', [{ ca, uri: proxyId }, 'AB:CD'], mismatch(path, 'a list')],
    ['null', null, mismatch(path, 'null')],
    ['a list with null', [null], mismatch(path, 'a list')],
    ['no authority', { uri: proxyId }, mismatch(`${path}.ca`, 'nothing', 'PEM certificates of authorities')],
    ['no name', { ca }, mismatch(path, 'none of them', 'one of uri, dns and subject')],
    ['no name in a list', [{ ca }], mismatch(`${path}[0]`, 'none of them', 'one of uri, dns and subject')],
    [
      'two names',
      { ca, uri: proxyId, dns: 'proxy.example' },
      mismatch(`${path}.dns`, 'both', 'nothing next to uri'),
    ],
    [
      'two other names',
      [`${'A'.repeat(43)}`, { ca, subject: 'CN=a', dns: 'proxy.example' }],
      mismatch(`${path}[1].subject`, 'both', 'nothing next to dns'),
    ],
    [
      'an unknown member',
      { ca, uris: proxyId },
      mismatch(path, 'a name of 4 characters', 'no options but ca'),
    ],
    [
      'a file that is not there',
      { ca: join(folder, 'none.pem'), uri: proxyId },
      mismatch(`${path}.ca`, 'something else', 'PEM certificates of authorities'),
    ],
    ['a file of something else', { ca: badFile, uri: proxyId }, mismatch(`${path}.ca`, 'something else')],
    ['a file of no authority', { ca: leafFile, uri: proxyId }, mismatch(`${path}.ca`, 'something else')],
    ...[
      'mesh.example/proxy',
      'urn:',
      'urn:a b',
      'urn:a"b',
      'urn:%zz',
      'urn:ä',
      `urn:${'a'.repeat(2_045)}`,
      'spiffe://mesh.example',
      'spiffe://mesh.example/',
      'spiffe://mesh.example/a/',
      'spiffe://mesh.example//a',
      'spiffe://mesh.example/../a',
      'spiffe://mesh.example/.',
      'spiffe://Mesh.example/a',
      'SPIFFE://mesh.example/a',
      'spiffe://mesh.example:443/a',
      'spiffe://mesh.example/%61',
      'spiffe://mesh.example/a?b',
      'spiffe:mesh.example/a',
      'spiffe://mesh.example/*',
    ].map((uri): [string, unknown, RegExp] => [
      `the URI ${uri.slice(0, 40)}`,
      { ca, uri },
      mismatch(`${path}.uri`, `a string of ${uri.length} characters`, 'a URI as RFC 3986 writes it'),
    ]),
    ...[
      '*.mesh.example',
      'a..b',
      '.a',
      'a.',
      'a b',
      'a/b',
      'ä.example',
      '10.0.0.5',
      `${'a'.repeat(64)}.b`,
    ].map((dns): [string, unknown, RegExp] => [
      `the host ${dns}`,
      { ca, dns },
      mismatch(`${path}.dns`, `a string of ${dns.length} characters`, 'a host name without a wildcard'),
    ]),
    [
      'a list of hosts with a wildcard',
      { ca, dns: ['a.example', '*'] },
      mismatch(`${path}.dns`, 'a list', 'a host name without a wildcard'),
    ],
    ['an empty list of URIs', { ca, uri: [] }, mismatch(`${path}.uri`, 'a list')],
    [
      'a subject in another form',
      { ca, subject: '/CN=a' },
      mismatch(`${path}.subject`, 'a string of 5 characters', 'a distinguished name as RFC 4514 writes it'),
    ],
  ])('%s', (_, proxyCertificate, message) => {
    expect(() => sourceBy(proxyCertificate)).toThrow(ConfigurationError);
    expect(() => sourceBy(proxyCertificate)).toThrow(message);
  });
});
