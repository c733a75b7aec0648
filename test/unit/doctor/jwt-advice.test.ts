// A JWT that is refused by the defaults: mtls-doctor names the options by which it is accepted, and no options for what is no access token.
import { createResourceServer, type JwtAccessTokensOptions, jwtAccessTokens } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { checkToken } from '../../../packages/core/src/doctor/token-checks.js';
import { toRefusal } from '../../../packages/core/src/errors.js';
import { type PretendIssuer, pretendIssuer } from '../../support/pretend-issuer.js';
import { requestWith } from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
let kit: TestKit;
let as: PretendIssuer;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
  as = pretendIssuer(issuer);
});

interface Jwt {
  readonly alg?: string;
  readonly typ?: string | undefined;
  readonly [claim: string]: unknown;
}

const signed = ({ alg = 'ES256', typ, ...claims }: Jwt) => {
  const now = Math.floor(Date.now() / 1000);
  const cnf = { 'x5t#S256': kit.certificate.thumbprint };
  return as.sign({ iss: issuer, aud: audience, exp: now + 600, cnf, ...claims }, { alg, typ });
};

/** `admitted`, or the rejection with which the token is refused. */
async function outcomeOf(token: string, options: JwtAccessTokensOptions): Promise<string> {
  const server = createResourceServer({
    issuer,
    audience,
    tokens: jwtAccessTokens(options),
    certificate: () => kit.certificate,
    http: { fetch: as.fetch },
  });
  try {
    await server.authorize(requestWith(token));
    return 'admitted';
  } catch (thrown) {
    return toRefusal(thrown).message;
  } finally {
    await server.close();
  }
}

/** What the doctor advises about a token that is refused by the defaults. */
async function adviceOn(token: string): Promise<string> {
  const rejection = await outcomeOf(token, {});
  const authority = {
    read: async () => rejection,
    rules: { issuer, audience: [audience], clockTolerance: 30 },
  };
  const [finding] = await checkToken(
    authority as never,
    token,
    { certificate: kit.certificate },
    { mustBind: true, saysItBinds: true, acceptsDpop: false },
  );
  return finding?.fix ?? '';
}

const iat = Math.floor(Date.now() / 1000);
const rfc9068 = { typ: 'at+jwt', sub: 'u', client_id: 'c', scope: 'a', iat, jti: 'j' };
const look = (options: string) =>
  `if the access tokens of this server look so, set jwtAccessTokens({ ${options} })`;

describe('the options that the advice names accept the token', () => {
  it.each<[string, Jwt, string]>([
    ['RS256', { ...rfc9068, alg: 'RS256' }, "algorithms: ['RS256']"],
    ['typ JWT', { ...rfc9068, typ: 'JWT' }, "typ: ['JWT']"],
    ['no typ', { ...rfc9068, typ: undefined }, "typ: ['absent']"],
    ['scope as a list', { ...rfc9068, scope: ['a'] }, "claims: { scope: 'scope' }"],
    [
      'azp, and no jti',
      { ...rfc9068, client_id: undefined, azp: 'c', jti: undefined },
      "claims: { clientId: 'azp' }, requiredClaims: ['sub', 'client_id', 'iat']",
    ],
    ['no sub', { ...rfc9068, sub: undefined }, "requiredClaims: ['client_id', 'iat', 'jti']"],
    [
      'all at once',
      { alg: 'RS256', sub: 'u', iat, cid: 'c', scp: ['a'] },
      "algorithms: ['RS256'], typ: ['absent'], claims: { clientId: 'cid', scope: 'scp' }, requiredClaims: ['sub', 'client_id', 'iat']",
    ],
  ])('%s', async (_title, jwt, options) => {
    const token = await signed(jwt);
    expect(await adviceOn(token)).toBe(look(options));
    const advised = new Function(`return { ${options} }`)() as JwtAccessTokensOptions;
    expect(await outcomeOf(token, advised)).toBe('admitted');
  });
});

it.each<[string, Jwt, string]>([
  [
    'an ID token with nonce',
    { ...rfc9068, typ: 'JWT', nonce: 'n' },
    'send the access token: of this JWT it has nonce, as an ID token has',
  ],
  [
    'an ID token without a mark',
    { ...rfc9068, typ: 'JWT', scope: undefined },
    'send the access token: of this JWT it names no scope, so that it may be an ID token; its typ is not at+jwt',
  ],
  [
    'a refresh token',
    { ...rfc9068, typ: 'JWT', aud: audience, token_use: 'refresh' },
    'send the access token: of this JWT its claim token_use is "refresh"',
  ],
])('%s: no options are advised', async (_title, jwt, advice) => {
  expect(await adviceOn(await signed(jwt))).toBe(advice);
});
