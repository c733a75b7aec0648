import { randomUUID } from 'node:crypto';
import type { CertificateSource, ClientCertificate } from '../certificate/client-certificate.js';
import { RequestRefused } from '../errors.js';
import { refuseFurtherArguments } from '../shared/call-arguments.js';
import { createMismatch } from '../shared/option-errors.js';
import {
  OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  readOptions,
  withDefault,
} from '../shared/option-group.js';
import { isHttpsUrl, issuerUrl, type OptionRule, text } from '../shared/option-rules.js';
import { isProduction } from '../shared/production.js';
import { readTokenClaims, type TokenAnswer } from '../token/token-claims.js';
import type { TokenSource } from '../token/token-source.js';
import type { ProofChanges } from './proof-signer.js';
import { createTestCertificate, type TestCertificateOptions } from './test-certificate.js';
import {
  createTestCertificateAuthority,
  type TestCertificateAuthority,
} from './test-certificate-authority.js';
import { createTestKey, signerOf, type TestKey, type TestKeyAlgorithm } from './test-key.js';

export const testKitOptions = optionGroup({
  /** The simulated server's issuer identifier. Default `https://as.example.com`. */
  issuer: withDefault(issuerUrl, 'https://as.example.com'),
  /** The API's identifier, which tokens name in `aud`. Default `https://api.example.com`. */
  audience: withDefault(text, 'https://api.example.com'),
  /**
   * What proofs by `withProof()` name before the path of the request: `dpop.origin`, and behind it
   * `dpop.pathPrefix`. Default: the origin of `audience` if it is an https URL, otherwise
   * `https://api.example.com`.
   */
  url: optional(issuerUrl, {
    defaultInWords: 'the origin of `audience` if it is an https URL, otherwise `https://api.example.com`',
  }),
});

/** The issuer of the simulated authorization server, and the audience of its tokens. */
export interface TestKitOptions extends OptionsOf<typeof testKitOptions> {}

/** Accepts any value: a test may want a token that no server issues. */
const anything = <T>(): OptionRule<T> => ({ accepted: 'any value', read: (given) => given as T });

export const unboundTokenOptions = optionGroup({
  /** `scope`. Default: none. */
  scopes: optional(anything<readonly string[]>()),
  /** `sub`. Default `test-user`. */
  subject: withDefault(anything<string>(), 'test-user'),
  /** `client_id`. Default `test-client`. */
  clientId: withDefault(anything<string>(), 'test-client'),
  /** Seconds until `exp`; negative for one that is expired. Default 300. */
  expiresIn: withDefault(anything<number>(), 300),
  /** Further claims, or others in place of these. Default: none. */
  claims: optional(anything<Readonly<Record<string, unknown>>>()),
});

export const testTokenOptions = optionGroup({
  ...unboundTokenOptions,
  /**
   * The certificate that the token is bound to. Default: the kit's `certificate`, or none with
   * `key`.
   */
  certificate: optional(anything<ClientCertificate>(), {
    defaultInWords: "the kit's `certificate`, or none with `key`",
  }),
  /** The key that the token is bound to (DPoP, RFC 9449 §6). Default: none. */
  key: optional(anything<TestKey>()),
});

/** What a token is to say; what is not given is what a good token says. */
export interface TestTokenOptions extends OptionsOf<typeof testTokenOptions> {}

export const testProofOptions = optionGroup({
  /** The key that signs the proof. Default: the kit's `key`. */
  key: optional(anything<TestKey>(), { defaultInWords: "the kit's `key`" }),
  /**
   * Members of the header of the proof, or others in place of these; `undefined` leaves one out.
   * Default: those of a good proof.
   */
  header: optional(anything<Readonly<Record<string, unknown>>>(), {
    defaultInWords: 'those of a good proof',
  }),
  /**
   * Claims of the proof, as `nonce`, or others in place of these; `undefined` leaves one out.
   * Default: those of a good proof.
   */
  claims: optional(anything<Readonly<Record<string, unknown>>>(), {
    defaultInWords: 'those of a good proof',
  }),
});

/** What a DPoP proof is to say; what is not given is what a good proof says. */
export interface TestProofOptions extends OptionsOf<typeof testProofOptions> {}

/** A request of supertest, an agent of it, or whatever else sets headers so. */
interface SetsHeaders {
  set(name: string, value: string): unknown;
}

/** A request of supertest: what a proof is for. */
interface SendsProof extends SetsHeaders {
  readonly method: string;
  readonly url: string;
}

/**
 * A simulated authorization server and clients' certificates, in memory: for tests of routes,
 * without TLS.
 */
export interface TestKit {
  /**
   * For `mtlsBound({ ...yours, ...kit.options })`: the simulated server, and certificates by
   * `withCertificate()`.
   */
  readonly options: {
    readonly issuer: string;
    readonly issuers: undefined;
    readonly selectIssuer: undefined;
    readonly audience: string;
    readonly tokens: TokenSource;
    readonly certificate: CertificateSource;
    readonly cache: { readonly maxAge: 0; readonly rejectionMaxAge: 0 };
    readonly floodGuard: false;
  };
  /** What clients present, and tokens are bound to, when no other is named. */
  readonly certificate: ClientCertificate;
  /** Another client's. */
  readonly otherCertificate: ClientCertificate;
  /** A certificate that says what is wanted. */
  createCertificate(wanted?: TestCertificateOptions): Promise<ClientCertificate>;
  /**
   * Makes a certificate authority, whose certificates `withCertificate()` presents, for tests of
   * `certificatePolicy.authorities` and `revocationCheck`. Each is another one.
   *
   * @param subject in the text form of RFC 4514. Default: `CN=authority` and a UUID.
   */
  createCertificateAuthority(subject?: string): Promise<TestCertificateAuthority>;
  /** What signs proofs by `withProof()` when no other key is named. */
  readonly key: TestKey;
  /** Another client's key. */
  readonly otherKey: TestKey;
  /** Makes a further key. The default algorithm is ES256. */
  createKey(algorithm?: TestKeyAlgorithm): TestKey;
  /**
   * A token that is bound to a certificate (RFC 8705 §3.1), to a key (RFC 9449 §6), or to both.
   */
  boundToken(wanted?: TestTokenOptions): string;
  /** A token that is bound to nothing: the API must refuse it. */
  unboundToken(wanted?: Omit<TestTokenOptions, 'certificate' | 'key'>): string;
  /** The server says from now on that the token is not active. */
  revoke(token: string): void;
  /** From now on the server can't be asked; with false it can again. */
  outage(isOut?: boolean): void;
  /**
   * Returns the given request or agent of supertest, which then presents the certificate.
   *
   * @example
   * const accounts = kit.withCertificate(request(app).get('/accounts'));
   * await accounts.auth(kit.boundToken(), { type: 'bearer' }).expect(200);
   */
  withCertificate<Request extends SetsHeaders>(request: Request, certificate?: ClientCertificate): Request;
  /**
   * Returns the given request of supertest, which then sends the token with the scheme DPoP and a
   * proof. Each call makes another proof.
   *
   * @example
   * const token = kit.boundToken({ key: kit.key });
   * await kit.withProof(request(app).get('/accounts'), token).expect(200);
   */
  withProof<Request extends SendsProof>(request: Request, token: string, wanted?: TestProofOptions): Request;
}

/**
 * Names a certificate of the kit by its thumbprint. No certificate source outside of tests reads
 * it.
 */
const certificateHeader = 'x-test-client-certificate';

/**
 * Makes a test kit. Throws `ConfigurationError` where `NODE_ENV` is `production`: an API with
 * `kit.options` believes what requests say of their certificate.
 */
export function createTestKit(options?: TestKitOptions): Promise<TestKit>;
export async function createTestKit(...args: [options?: TestKitOptions]): Promise<TestKit> {
  refuseFurtherArguments('createTestKit()', args, 1, 'one object of options');
  const [options = {}] = args;
  const {
    issuer,
    audience,
    url = isHttpsUrl(options.audience) ? new URL(options.audience).origin : 'https://api.example.com',
  } = readOptions('createTestKit()', options, testKitOptions);
  if (isProduction(process.env)) {
    throw createMismatch('createTestKit()', 'another NODE_ENV', 'production');
  }
  const certificates = new Map<string, ClientCertificate>();
  const tokens = new Map<string, Readonly<Record<string, unknown>>>();
  let isOut = false;

  function keep(certificate: ClientCertificate): ClientCertificate {
    certificates.set(certificate.thumbprint, certificate);
    return certificate;
  }
  const createCertificate = async (wanted?: TestCertificateOptions): Promise<ClientCertificate> =>
    keep(await createTestCertificate(wanted));
  async function createCertificateAuthority(subject?: string): Promise<TestCertificateAuthority> {
    const authority = await createTestCertificateAuthority(subject);
    return Object.freeze({
      ...authority,
      createCertificate: async (wanted?: TestCertificateOptions) =>
        keep(await authority.createCertificate(wanted)),
    });
  }
  const certificate = await createCertificate();
  const otherCertificate = await createCertificate();
  const key = createTestKey();
  const otherKey = createTestKey();

  async function read(token: string): Promise<TokenAnswer> {
    if (isOut) {
      throw new RequestRefused('authorization_server_unreachable', { detail: 'outage() was called' });
    }
    const claims = tokens.get(token);
    return claims === undefined ? 'token_inactive' : readTokenClaims(structuredClone(claims), issuer);
  }

  function issue(
    { scopes = [], subject = 'test-user', expiresIn = 300, ...more }: TestTokenOptions,
    cnf?: object,
  ): string {
    const token = `test-${randomUUID()}`;
    const now = Math.floor(Date.now() / 1000);
    tokens.set(token, {
      active: true,
      iss: issuer,
      aud: audience,
      sub: subject,
      client_id: more.clientId ?? 'test-client',
      ...(scopes.length > 0 && { scope: scopes.join(' ') }),
      iat: now + Math.min(0, expiresIn),
      exp: now + expiresIn,
      ...(cnf !== undefined && { cnf }),
      ...more.claims,
    });
    return token;
  }

  return Object.freeze({
    options: Object.freeze({
      issuer,
      // Takes the place of a list in the user's own options, and of what selects from it.
      issuers: undefined,
      selectIssuer: undefined,
      audience,
      tokens: () => Object.assign(read, { kind: 'introspection' } as const),
      certificate: (req: Parameters<CertificateSource>[0]) =>
        certificates.get(String(req.headers[certificateHeader])),
      cache: { maxAge: 0, rejectionMaxAge: 0 } as const,
      floodGuard: false as const,
    }),
    certificate,
    otherCertificate,
    createCertificate,
    createCertificateAuthority,
    key,
    otherKey,
    createKey: createTestKey,
    boundToken: (wanted: TestTokenOptions = {}) => {
      // Throws for an option that would be ignored.
      new OptionReader('boundToken()', wanted, testTokenOptions);
      const bound = wanted.certificate ?? (wanted.key === undefined ? certificate : undefined);
      return issue(wanted, {
        ...(bound !== undefined && { 'x5t#S256': bound.thumbprint }),
        ...(wanted.key !== undefined && { jkt: wanted.key.thumbprint }),
      });
    },
    unboundToken: (wanted: Omit<TestTokenOptions, 'certificate' | 'key'> = {}) => {
      new OptionReader('unboundToken()', wanted, unboundTokenOptions);
      return issue(wanted);
    },
    revoke: (token: string) => {
      tokens.delete(token);
    },
    outage: (out = true) => {
      isOut = out;
    },
    withCertificate<Request extends SetsHeaders>(request: Request, presented = certificate): Request {
      request.set(certificateHeader, presented.thumbprint);
      return request;
    },
    withProof<Request extends SendsProof>(
      request: Request,
      token: string,
      wanted: TestProofOptions = {},
    ): Request {
      new OptionReader('withProof()', wanted, testProofOptions);
      const { key: signing = key, ...changes } = wanted;
      const target = {
        method: request.method,
        url: `${url.replace(/\/$/, '')}${pathOf(request.url)}`,
        token,
      };
      request.set('Authorization', `DPoP ${token}`);
      request.set('DPoP', signerOf(signing).createProof(target, changes satisfies ProofChanges));
      return request;
    },
  });
}

/** supertest names the address on which it has the application listen. */
function pathOf(url: string): string {
  return url.replace(/^https?:\/\/[^/?#]*/i, '');
}
