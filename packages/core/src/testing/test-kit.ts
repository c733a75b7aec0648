import { randomUUID } from 'node:crypto';
import type { CertificateSource, ClientCertificate } from '../certificate/client-certificate.js';
import { ConfigurationError, RequestRefused } from '../errors.js';
import { issuerUrl, OptionReader, text } from '../shared/option-rules.js';
import { readTokenClaims, type TokenAnswer } from '../token/token-claims.js';
import type { TokenSource } from '../token/token-source.js';
import { type CertificateRequest, createTestCertificate } from './test-certificate.js';

/** Who the pretend authorization server is, and for whom it issues tokens. */
export interface TestKitOptions {
  /** The pretend server's issuer identifier. Default `https://as.example.com`. */
  readonly issuer?: string;
  /** The API's identifier, which tokens name in `aud`. Default `https://api.example.com`. */
  readonly audience?: string;
}

/** What a token is to say; what is not given is what a good token says. */
export interface TokenRequest {
  /** `scope`. Default: none. */
  readonly scopes?: readonly string[];
  /** `sub`. Default `test-user`. */
  readonly subject?: string;
  /** `client_id`. Default `test-client`. */
  readonly clientId?: string;
  /** Seconds until `exp`; negative for one that is expired. Default 300. */
  readonly expiresIn?: number;
  /** Whose token it is. Default: the kit's `certificate`. */
  readonly certificate?: ClientCertificate;
  /** Further claims, or others in place of these. Default: none. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** A request of supertest, an agent of it, or whatever else sets headers so. */
interface SetsHeaders {
  set(name: string, value: string): unknown;
}

/**
 * A pretend authorization server and clients' certificates, in memory: for tests of routes, without
 * TLS.
 */
export interface TestKit {
  /**
   * For `mtlsBound({ ...yours, ...kit.options })`: the pretend server, and certificates by
   * `withCertificate()`.
   */
  readonly options: {
    readonly issuer: string;
    readonly issuers: undefined;
    readonly selectIssuer: undefined;
    readonly audience: string;
    readonly tokens: TokenSource;
    readonly certificate: CertificateSource;
    readonly cache: { readonly maxAge: 0; readonly inactiveMaxAge: 0 };
    readonly floodGuard: false;
  };
  /** What clients present, and tokens are bound to, when no other is named. */
  readonly certificate: ClientCertificate;
  /** Another client's. */
  readonly otherCertificate: ClientCertificate;
  /** A certificate that says what is wanted. */
  createCertificate(wanted?: CertificateRequest): Promise<ClientCertificate>;
  /** A token that is bound to a certificate (RFC 8705 §3.1). */
  boundToken(wanted?: TokenRequest): string;
  /** A token that is bound to nothing: the API must refuse it. */
  unboundToken(wanted?: Omit<TokenRequest, 'certificate'>): string;
  /** The server says from now on that the token is not active. */
  revoke(token: string): void;
  /** From now on the server can't be asked; with false it can again. */
  outage(isOut?: boolean): void;
  /**
   * The same request or agent of supertest, presenting the certificate.
   *
   * @example
   * await kit.withCertificate(request(app).get('/accounts')).auth(kit.boundToken(), { type: 'bearer' }).expect(200);
   */
  withCertificate<Request extends SetsHeaders>(request: Request, certificate?: ClientCertificate): Request;
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
export async function createTestKit(options: TestKitOptions = {}): Promise<TestKit> {
  const given = new OptionReader('createTestKit()', options, ['issuer', 'audience']);
  const issuer = given.optional('issuer', issuerUrl) ?? 'https://as.example.com';
  const audience = given.optional('audience', text) ?? 'https://api.example.com';
  if (process.env.NODE_ENV === 'production') {
    throw new ConfigurationError('createTestKit()', 'NODE_ENV is production; accepted is any other');
  }
  const certificates = new Map<string, ClientCertificate>();
  const tokens = new Map<string, Readonly<Record<string, unknown>>>();
  let isOut = false;

  async function createCertificate(wanted?: CertificateRequest): Promise<ClientCertificate> {
    const certificate = await createTestCertificate(wanted);
    certificates.set(certificate.thumbprint, certificate);
    return certificate;
  }
  const certificate = await createCertificate();
  const otherCertificate = await createCertificate();

  async function read(token: string): Promise<TokenAnswer> {
    if (isOut) {
      throw new RequestRefused('authorization_server_unreachable', { detail: 'outage() was called' });
    }
    const claims = tokens.get(token);
    return claims === undefined ? 'token_inactive' : readTokenClaims(structuredClone(claims), issuer);
  }

  const requestNames = ['scopes', 'subject', 'clientId', 'expiresIn', 'claims'];

  function issue(
    { scopes = [], subject = 'test-user', expiresIn = 300, ...more }: TokenRequest,
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
      cache: { maxAge: 0, inactiveMaxAge: 0 } as const,
      floodGuard: false as const,
    }),
    certificate,
    otherCertificate,
    createCertificate,
    boundToken: (wanted: TokenRequest = {}) => {
      // Throws for an option that would be ignored.
      new OptionReader('boundToken()', wanted, [...requestNames, 'certificate']);
      return issue(wanted, { 'x5t#S256': (wanted.certificate ?? certificate).thumbprint });
    },
    unboundToken: (wanted: Omit<TokenRequest, 'certificate'> = {}) => {
      new OptionReader('unboundToken()', wanted, requestNames);
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
  });
}
