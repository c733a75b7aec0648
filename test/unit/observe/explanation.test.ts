import { createHash, hash, X509Certificate } from 'node:crypto';
import {
  ClientCertificate,
  createResourceServer,
  nginx,
  proxyHeader,
  type RefusedEvent,
  RequestRefused,
  type ResourceServerOptions,
  tlsSocket,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkBinding } from '../../../packages/core/src/confirmation/binding.js';
import {
  createExplainer,
  describeForChallenge,
  describeSource,
  mismatchHint,
} from '../../../packages/core/src/response/explanation.js';
import { authority } from '../../support/chains.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let kit: TestKit;
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

beforeAll(async () => {
  pki = await createPki();
  kit = await createTestKit();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const hexOf = (thumbprint: string): string => Buffer.from(thumbprint, 'base64url').toString('hex');

interface Connection {
  readonly server?: object;
  readonly encrypted?: boolean;
  readonly getProtocol?: () => string;
  readonly remoteAddress?: string;
  readonly isSessionReused?: () => boolean;
  readonly getPeerX509Certificate?: () => unknown;
}

function requestOf(token: string, headers: Record<string, string> = {}, socket: Connection = {}): never {
  const all = { authorization: `Bearer ${token}`, ...headers };
  return { url: '/', headers: all, rawHeaders: Object.entries(all).flat(), socket } as never;
}

/** The server's last refusal, as an adapter would answer it. */
async function refusal(options: ResourceServerOptions, req: never) {
  const server = createResourceServer({ ...kit.options, ...options });
  try {
    await server.authorize(req);
  } catch (thrown) {
    const explanation = refused.at(-1)?.explanation;
    return { code: (thrown as RequestRefused).code, explanation, answer: server.answer(thrown, req) };
  }
  throw new Error('the request was let in');
}

const presenting = (certificate: ClientCertificate): ResourceServerOptions => ({
  certificate: () => certificate,
});
const boundTo = (cnf: string): string => kit.boundToken({ claims: { cnf: { 'x5t#S256': cnf } } });

describe('a mismatch', () => {
  it.each<[string, (own: ClientCertificate, x509: X509Certificate) => string, string, RegExp]>([
    ['the same in hex', (own) => hexOf(own.thumbprint), 'thumbprint_in_hex', /right hash in hex.*base64url/],
    [
      'the same in hex with colons',
      (_, { fingerprint256 }) => fingerprint256,
      'thumbprint_in_hex',
      /right hash in hex/,
    ],
    [
      'base64url of hex',
      (own) => Buffer.from(hexOf(own.thumbprint)).toString('base64url'),
      'thumbprint_in_encoded_hex',
      /base64url of hex digits/,
    ],
    [
      'base64url of base64 of hex',
      (own) => Buffer.from(Buffer.from(hexOf(own.thumbprint)).toString('base64')).toString('base64url'),
      'thumbprint_in_encoded_hex',
      /base64url of the base64 of hex digits/,
    ],
    [
      'base64',
      (own) => Buffer.from(own.thumbprint, 'base64url').toString('base64'),
      'thumbprint_in_base64',
      /another base64/,
    ],
    ['base64url with padding', (own) => `${own.thumbprint}=`, 'thumbprint_in_base64', /another base64/],
    [
      'base64url of hex with colons',
      (_, { fingerprint256 }) => Buffer.from(fingerprint256).toString('base64url'),
      'thumbprint_in_encoded_hex',
      /base64url of hex digits/,
    ],
    ['hex of another', () => '0a'.repeat(32), 'thumbprint_in_hex', /looks like hex, of another/],
    [
      'SHA-1',
      (own) =>
        createHash('sha1')
          .update(own.der as Uint8Array)
          .digest('base64url'),
      'thumbprint_by_sha1',
      /SHA-1/,
    ],
    [
      'the hash of the key',
      (_, { publicKey }) => hash('sha256', publicKey.export({ type: 'spki', format: 'der' }), 'base64url'),
      'thumbprint_of_key',
      /hash of the public key/,
    ],
  ])('%s', async (_, expected, hintCode, hint) => {
    const own = new ClientCertificate(pki.alice.der);
    const cnf = expected(own, new X509Certificate(pki.alice.der));
    const { code, explanation } = await refusal(presenting(own), requestOf(boundTo(cnf)));
    expect(code).toBe('certificate_mismatch');
    expect(explanation).toEqual({
      expectedThumbprint: cnf,
      presentedThumbprint: own.thumbprint,
      certificateFrom: 'the option certificate',
      hint: expect.stringMatching(hint),
      hintCode,
    });
  });

  it('an intermediate that came instead of the certificate is named in the hint', async () => {
    const ca = new ClientCertificate(pki.ca.der);
    const { explanation } = await refusal(presenting(ca), requestOf(boundTo(pki.alice.thumbprint)));
    expect(explanation?.hint).toMatch(/certificate authority's.*intermediate/);
    expect(explanation?.hintCode).toBe('authority_certificate');
  });

  describe('a certificate that says CA:TRUE', async () => {
    const root = await authority('CN=client');
    const below = await authority('CN=below', root);
    const fromConnection = { fromConnection: true } as const;
    const alice = () => new ClientCertificate(pki.alice.der);

    it.each<[string, object, typeof root, (() => ClientCertificate) | undefined, string | undefined, RegExp]>(
      [
        ['self-signed, from a proxy', {}, root, undefined, 'authority_certificate', /may be a certificate/],
        ['self-signed, the bound one was seen', {}, root, alice, 'token_of_another_client', /another client/],
        ['self-signed, of the connection', fromConnection, root, undefined, undefined, /^undefined$/],
        [
          'of an authority, from a proxy',
          {},
          below,
          alice,
          'authority_certificate',
          /hands on the intermediate/,
        ],
        ['of an authority, of the connection', fromConnection, below, undefined, undefined, /^undefined$/],
        [
          'of the connection, the bound one was seen',
          fromConnection,
          below,
          alice,
          'token_of_another_client',
          /another client/,
        ],
      ],
    )('%s', (_title, facts, { der }, seen, hintCode, hint) => {
      const explainer = createExplainer(
        Object.assign(() => undefined, facts),
        false,
      );
      explainer.remember(seen?.());
      const refused = new RequestRefused('certificate_mismatch', {
        expectedThumbprint: pki.alice.thumbprint,
      });
      const explanation = explainer.explain(refused, new ClientCertificate(der), requestOf('token'));
      expect(explanation.hintCode).toBe(hintCode);
      expect(String(explanation.hint)).toMatch(hint);
    });
  });

  it.each([
    ['the same key, renewed', 'aliceRenewed', 'certificate_renewed', /same key, renewed certificate/],
    [
      'the token of another client that was seen here',
      'bob',
      'token_of_another_client',
      /another client certificate that was seen here/,
    ],
  ] as const)('%s', async (_, presented, hintCode, hint) => {
    const server = createResourceServer({
      ...kit.options,
      certificate: (req) => new ClientCertificate(pki[req.headers['x-who'] as 'alice'].der),
    });
    const token = boundTo(pki.alice.thumbprint);
    await server.authorize(requestOf(token, { 'x-who': 'alice' }));
    await expect(async () => server.authorize(requestOf(token, { 'x-who': presented }))).rejects.toThrow();
    expect(refused.at(-1)?.explanation).toMatchObject({ hint: expect.stringMatching(hint), hintCode });
  });

  it.each<[string, () => string]>([
    ['the thumbprint of a certificate that was not seen here', () => pki.bob.thumbprint],
    ['64 characters that are no hex', () => 'g'.repeat(64)],
    ['65 hex digits', () => '0'.repeat(65)],
    ['a letter before 64 hex digits', () => `x${'0'.repeat(64)}`],
    ['a letter behind 64 hex digits', () => `${'0'.repeat(64)}x`],
  ])('no hint is made up for %s', async (_title, expected) => {
    const own = new ClientCertificate(pki.alice.der);
    const { code, explanation } = await refusal(presenting(own), requestOf(boundTo(expected())));
    expect(code).toBe('certificate_mismatch');
    expect(explanation).toEqual({
      expectedThumbprint: expected(),
      presentedThumbprint: own.thumbprint,
      certificateFrom: 'the option certificate',
      hint: undefined,
      hintCode: undefined,
    });
  });

  const unreadable = () => new ClientCertificate(Buffer.from('no DER'));
  const hashAlone = () => new ClientCertificate({ thumbprint: 'A'.repeat(43) });
  const readable = () => new ClientCertificate(pki.alice.der);
  it.each<[string, () => ClientCertificate, () => ClientCertificate | undefined, string | undefined]>([
    ['bytes that are no certificate', unreadable, () => undefined, undefined],
    ['a hash alone', hashAlone, () => undefined, undefined],
    ['a hash alone, where the bound one was seen', hashAlone, readable, 'token_of_another_client'],
    ['a certificate, where a hash alone was seen', readable, hashAlone, 'token_of_another_client'],
    ['no certificates, one sent and one seen', unreadable, hashAlone, 'token_of_another_client'],
  ])('%s: the explanation needs no content of them', (_title, presented, bound, hintCode) => {
    expect(mismatchHint(pki.bob.thumbprint, presented(), { bound: bound(), isForwarded: true })?.code).toBe(
      hintCode,
    );
  });
});

describe('createExplainer()', () => {
  const req = requestOf('token');
  const explainWith = (refused: RequestRefused, certificate: ClientCertificate | undefined) => {
    const explainer = createExplainer(tlsSocket(), false);
    explainer.remember(undefined);
    return explainer.explain(refused, certificate, req);
  };
  const unexplained = { certificateFrom: 'the TLS connection', hint: undefined, hintCode: undefined };

  it('has no hint for a refusal that the certificate has no part in', () => {
    const own = new ClientCertificate(pki.alice.der);
    expect(explainWith(new RequestRefused('token_expired'), own)).toEqual({
      ...unexplained,
      expectedThumbprint: undefined,
      presentedThumbprint: own.thumbprint,
    });
  });

  it.each([
    ['8 kB', 8 * 1024, 'token_of_another_client'],
    ['a byte more', 8 * 1024 + 1, undefined],
  ])('remembers certificates of up to 8 kB: one of %s', (_title, size, hintCode) => {
    const large = new ClientCertificate(new Uint8Array(size));
    const explainer = createExplainer(tlsSocket(), false);
    explainer.remember(large);
    const refused = new RequestRefused('certificate_mismatch', { expectedThumbprint: large.thumbprint });
    const own = new ClientCertificate(pki.alice.der);
    expect(explainer.explain(refused, own, req).hintCode).toBe(hintCode);
  });

  it('has no hint for a policy that names a thumbprint where no certificate came', () => {
    const expectedThumbprint = pki.alice.thumbprint;
    expect(
      explainWith(new RequestRefused('certificate_mismatch', { expectedThumbprint }), undefined),
    ).toEqual({
      ...unexplained,
      expectedThumbprint,
      presentedThumbprint: undefined,
    });
  });

  it('has a hint for a server that writes the thumbprint outside of cnf', () => {
    const refuse = () =>
      checkBinding(
        undefined,
        { thumbprint: undefined, proof: undefined },
        { binding: 'required', methods: [] },
        { 'x5t#S256': 'thumbprint' },
      );
    expect(refuse).toThrow('token_unbound: x5t#S256 is at the top of the token, not in cnf');
    expect(explainWith(thrownBy(refuse), undefined)).toMatchObject({
      hintCode: 'thumbprint_outside_cnf',
      hint:
        "set claims: { thumbprint: 'x5t#S256' } of jwtAccessTokens() or introspection(), or let the " +
        'authorization server write cnf',
    });
  });
});

function thrownBy(refuse: () => void): RequestRefused {
  try {
    refuse();
  } catch (error) {
    return error as RequestRefused;
  }
  throw new Error('nothing was thrown');
}

it.each<[object, string]>([
  [{ description: 'the event of Lambda' }, 'the event of Lambda'],
  [{ description: 'the event of Lambda', header: 'x-cert' }, 'the event of Lambda'],
  [{ description: 7, header: 'x-cert' }, 'the header x-cert'],
  [{ header: 'x-cert', fromConnection: true }, 'the header x-cert'],
  [{ fromConnection: true }, 'the TLS connection'],
  [{ fromConnection: 'yes' }, 'the option certificate'],
  [{}, 'the option certificate'],
])('certificates of the source %j come from %s', (source, expected) => {
  expect(describeSource(source as never)).toBe(expected);
});

const none = () => undefined;
const header = { 'x-ssl-client-cert': 'x' };

describe('no certificate', () => {
  const behindProxy = { certificate: proxyHeader(nginx(), { trust: ['10.0.0.0/8'] }) };
  const withSecret = {
    certificate: proxyHeader(nginx(), {
      trust: 'loopback',
      secret: { header: 'x-secret', value: 's'.repeat(16) },
    }),
  };
  it.each<[string, ResourceServerOptions, Record<string, string>, Connection, string, RegExp]>([
    [
      'plain HTTP',
      { certificate: tlsSocket() },
      {},
      { server: { address: () => null } },
      'plain_http',
      /plain HTTP.*proxyHeader/,
    ],
    [
      'a resumed session',
      { certificate: tlsSocket() },
      {},
      {
        encrypted: true,
        getProtocol: () => 'TLSv1.3',
        isSessionReused: () => true,
        getPeerX509Certificate: none,
      },
      'session_resumed',
      /TLS session was resumed/,
    ],
    [
      'TLS without',
      { certificate: tlsSocket() },
      {},
      {
        encrypted: true,
        getProtocol: () => 'TLSv1.3',
        isSessionReused: () => false,
        getPeerX509Certificate: none,
      },
      'no_certificate',
      /requestCert: true/,
    ],
    [
      'an untrusted peer',
      behindProxy,
      header,
      { remoteAddress: '192.0.2.1' },
      'proxy_not_trusted',
      /not from an address that trust names/,
    ],
    [
      'no secret',
      withSecret,
      header,
      { remoteAddress: '127.0.0.1' },
      'proxy_not_trusted',
      /lacks the shared secret/,
    ],
    [
      'a wrong secret',
      withSecret,
      { ...header, 'x-secret': 'another-secret-of-a-proxy' },
      { remoteAddress: '127.0.0.1' },
      'proxy_not_trusted',
      /has another shared secret than the option secret/,
    ],
    ['no header', behindProxy, {}, { remoteAddress: '10.1.1.1' }, 'header_missing', /is not there/],
    [
      'an empty header',
      behindProxy,
      { 'x-ssl-client-cert': '' },
      { remoteAddress: '10.1.1.1' },
      'no_certificate',
      /says that the client sent none/,
    ],
  ])('%s', async (_, options, headers, socket, hintCode, hint) => {
    const { code, explanation } = await refusal(options, requestOf(kit.boundToken(), headers, socket));
    expect(code).toBe('certificate_missing');
    expect(explanation).toMatchObject({ hint: expect.stringMatching(hint), hintCode });
    expect(explanation?.presentedThumbprint).toBeUndefined();
    expect(explanation?.certificateFrom).toBe(
      options.certificate === behindProxy.certificate || options.certificate === withSecret.certificate
        ? 'the header x-ssl-client-cert'
        : 'the TLS connection',
    );
  });
});

it('a token without cnf is explained by a hint', async () => {
  const { explanation } = await refusal(presenting(kit.certificate), requestOf(kit.unboundToken()));
  expect(explanation).toMatchObject({
    hint: expect.stringMatching(/without cnf/),
    hintCode: 'token_without_cnf',
  });
});

describe('explain', () => {
  const mismatch = () => requestOf(boundTo(hexOf(kit.certificate.thumbprint)));

  it('tells the client, in body and challenge', async () => {
    const { answer } = await refusal({ ...presenting(kit.certificate), explain: true }, mismatch());
    const expected = [
      'The access token is bound to another client certificate',
      'certificate_mismatch',
      `the token is bound to ${hexOf(kit.certificate.thumbprint)}`,
      `the option certificate presents ${kit.certificate.thumbprint}`,
      'cnf has the right hash in hex; the authorization server must write it in base64url without padding (RFC 8705 §3.1)',
    ]
      .join('; ')
      .replaceAll('§', '?');
    expect(JSON.parse(answer.body)).toEqual({ error: 'invalid_token', error_description: expected });
    expect(answer.headers['WWW-Authenticate']).toBe(
      `Bearer realm="api", error="invalid_token", error_description="${expected}"`,
    );
  });

  it('a claim can not break out of the challenge', async () => {
    const { answer } = await refusal(
      { ...presenting(kit.certificate), explain: true },
      requestOf(boundTo('"\\\r\nSet-Cookie: x=é')),
    );
    expect(answer.headers['WWW-Authenticate']).toContain("the token is bound to '/??Set-Cookie: x=?;");
    expect(answer.headers['WWW-Authenticate']?.match(/"/g)).toHaveLength(6);
  });

  it('is off by default: the event alone says it', async () => {
    const { answer, explanation } = await refusal(presenting(kit.certificate), mismatch());
    expect(JSON.parse(answer.body).error_description).toBe(
      'The access token is bound to another client certificate',
    );
    expect(explanation?.hint).toMatch(/hex/);
  });

  it('without credentials nothing is told', async () => {
    const req = { url: '/', headers: {}, rawHeaders: [], socket: {} } as never;
    const { answer } = await refusal({ ...presenting(kit.certificate), explain: true }, req);
    expect(answer.body).toBe('');
    expect(answer.headers['WWW-Authenticate']).toBe('Bearer realm="api"');
  });

  it.each<[RequestRefused, string]>([
    [new RequestRefused('scope_insufficient'), '; scope_insufficient; no certificate came from the header x'],
    [new RequestRefused('token_expired'), '; token_expired; no certificate came from the header x'],
    [new RequestRefused('credentials_in_query'), '; credentials_in_query'],
    [new RequestRefused('authorization_server_timeout'), '; authorization_server_timeout'],
  ])('says that no certificate came only where one was read: %s', (refused, end) => {
    const nothing = { expectedThumbprint: undefined, presentedThumbprint: undefined };
    const explanation = { ...nothing, certificateFrom: 'the header x', hint: undefined, hintCode: undefined };
    expect(describeForChallenge(refused, explanation)).toBe(`${refused.description}${end}`);
  });

  it.each<[string, ResourceServerOptions, Record<string, string>, number, string]>([
    [
      'no certificate',
      { certificate: none },
      {},
      401,
      'certificate_missing; no certificate came from the option certificate',
    ],
    [
      'a malformed header',
      {},
      { authorization: 'Bearer' },
      400,
      'credentials_malformed: the Authorization header has the scheme Bearer, and not one token behind it',
    ],
    [
      'an error in a function of the user',
      {
        certificate: () => {
          throw new Error('ENOENT: /keys/s3cret');
        },
      },
      {},
      503,
      'internal_error',
    ],
  ])('%s: nothing is told that is not so, nor what is private', async (_, options, headers, status, end) => {
    const { answer } = await refusal({ ...options, explain: true }, requestOf(kit.boundToken(), headers));
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body).error_description).toMatch(new RegExp(`; ${end}$`));
  });

  it('is refused in production unless it is meant', async () => {
    vi.stubEnv('NODE_ENV', 'production');
    expect(() => createResourceServer({ ...kit.options, explain: true })).toThrow(
      "explain: expected false in production, or 'always' if you mean it, got true",
    );
    vi.stubEnv('MTLS_BOUND_EXPLAIN', 'true');
    expect(() => createResourceServer(kit.options)).toThrow('explain: expected false in production, ');
    const options = { ...presenting(kit.certificate), explain: 'always' } as const;
    expect((await refusal(options, mismatch())).answer.body).toContain('hex');
  });

  it.each(['yes', 1, null, 'True'])('%j is not accepted', (explain) => {
    expect(() => createResourceServer({ ...kit.options, explain: explain as never })).toThrow(
      "expected true, false or 'always'",
    );
  });
});
