// Authorization servers that the tests can't start: each page's options, against a server that issues and answers as the page shows.
import {
  type ClientCertificate,
  type JwtAccessTokensOptions,
  jwtAccessTokens,
  type RefusedEvent,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Framework, frameworks } from '../../support/apis.js';
import { type GuardedApi, guardedApi } from '../../support/guarded-api.js';
import { type PretendIssuer, pretendIssuer } from '../../support/pretend-issuer.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { type ShownJwt, type VendorPage, vendorPage } from './vendor-page.js';

interface Vendor {
  /** Below docs/reference/authorization-servers. */
  readonly name: string;
  readonly jwts: readonly string[];
  readonly introspection?: { readonly clientId: string; readonly scopes: readonly string[] };
}

/** Each with the headings of its options, so that none is left out. */
const vendors: readonly Vendor[] = [
  { name: 'auth0', jwts: ['By JWT, with the RFC 9068 profile', 'By JWT, with the Auth0 profile'] },
  { name: 'okta', jwts: ['By JWT'], introspection: { clientId: 'nmdP1fcyvdVO11AL7ECm', scopes: read() } },
  {
    name: 'entra-id',
    jwts: ['By JWT, for users', 'By JWT, for applications without a user', 'By JWT, of version 1.0'],
  },
  {
    name: 'pingfederate',
    jwts: ['By JWT', "By JWT, of a manager that can't be changed"],
    introspection: { clientId: 'alice', scopes: read() },
  },
  {
    name: 'pingam',
    jwts: ['By JWT'],
    introspection: { clientId: 'alice', scopes: ['accounts:read'] },
  },
  { name: 'curity', jwts: ['By JWT'], introspection: { clientId: 'alice', scopes: read() } },
  {
    name: 'authlete',
    jwts: ['By JWT'],
    introspection: { clientId: '4326385670', scopes: ['accounts:read'] },
  },
  {
    name: 'wso2',
    jwts: ['By JWT'],
    introspection: { clientId: 'jVcW4oLn1Jjb2T94H4gtPV9z5Y0a', scopes: read() },
  },
  {
    name: 'janssen',
    jwts: ['By JWT', 'By JWT, with a script that writes cnf'],
    introspection: { clientId: '1800.df1bb233-10b8-40ed-bbb9-07da50892a35', scopes: ['accounts:read'] },
  },
  {
    name: 'duende',
    jwts: ['By JWT', 'By JWT, with a list of scopes'],
    introspection: { clientId: 'alice', scopes: ['accounts:read'] },
  },
  {
    name: 'connect2id',
    jwts: ['By JWT', 'By JWT, with the profile c2id-1.0'],
    introspection: { clientId: 'izad7cqy34bg4', scopes: read() },
  },
];

function read(): string[] {
  return ['openid', 'accounts:read'];
}

const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
let alice: TestKit;
let bob: TestKit;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  [alice, bob] = await Promise.all([createTestKit(), createTestKit()]);
});

let api: GuardedApi | undefined;
afterEach(async () => {
  await api?.server.close();
  api = undefined;
});

interface World {
  readonly as: PretendIssuer;
  /** The status of a request by the holder of this certificate, and what became known of it. */
  ask(token: string, client?: 'alice' | 'bob'): Promise<Outcome>;
}

interface Outcome {
  readonly status: number;
  readonly code: string | undefined;
  readonly body: { readonly clientId?: string; readonly scopes?: string[]; readonly isBound?: boolean };
}

function start(
  page: VendorPage,
  heading: string,
  framework: Framework,
  { tokens }: { tokens?: JwtAccessTokensOptions } = {},
): World {
  const options = page.options(heading, framework);
  const as = pretendIssuer(String(options.issuer));
  const certificates: Record<string, ClientCertificate> = { alice: alice.certificate, bob: bob.certificate };
  const guarded = guardedApi(framework === 'Koa' ? 'Koa' : 'Express', {
    ...options,
    ...(tokens && { tokens: jwtAccessTokens(tokens) }),
    certificate: ({ headers }) => certificates[String(headers['x-client'])],
    http: { fetch: as.fetch },
  });
  api = guarded;
  return {
    as,
    async ask(token, client = 'alice') {
      const { status, body } = await guarded.answer(token, '/', { 'x-client': client });
      return { status, code: status === 200 ? undefined : refused.at(-1)?.refusal.code, body };
    },
  };
}

/** Claims as a page shows them, with the times of now, and the certificate of alice where there is one. */
function current(shown: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000);
  const times: Record<string, number> = { iat: now, auth_time: now, nbf: now, exp: now + 300 };
  return Object.fromEntries(
    Object.entries(shown).map(([name, value]) => {
      if (name === 'x5t#S256') {
        return [name, alice.certificate.thumbprint];
      }
      if (name === 'cnf') {
        return [name, { 'x5t#S256': alice.certificate.thumbprint }];
      }
      return [name, typeof value === 'number' && name in times ? times[name] : value];
    }),
  );
}

const issued = (as: PretendIssuer, { header, claims }: ShownJwt, changes: object = {}): Promise<string> =>
  as.sign({ ...current(claims), ...changes }, withKeyOf(header));

/** The stub has a key of its own for each algorithm. */
function withKeyOf({ alg, typ, ...more }: ShownJwt['header']): { alg: string; typ?: string } {
  const { kid: _, ...others } = more as Record<string, unknown>;
  return { alg, ...(typ && { typ }), ...others };
}

describe.each(vendors)('$name', ({ name, jwts, introspection }) => {
  const page = vendorPage(name);

  it('shows these ways to check its tokens', () => {
    const all = [...jwts, ...(introspection ? ['By introspection'] : [])];
    expect(page.headings.toSorted()).toEqual(all.toSorted());
  });

  describe.each(frameworks)('%s', (framework) => {
    describe.each(jwts)('%s', (heading) => {
      const shown = page.jwt(heading);

      it('a good client is accepted', async () => {
        const { as, ask } = start(page, heading, framework);
        const { clientId = 'client_id', scope = 'scope' } = page.jwtOptions(heading).claims ?? {};
        const { [clientId]: client, [scope]: scopes = '' } = shown.claims;
        const { status, body } = await ask(await issued(as, shown));
        expect({ status, isBound: body.isBound }).toEqual({ status: 200, isBound: true });
        expect(body.clientId).toBe(client);
        expect(body.scopes).toEqual(Array.isArray(scopes) ? scopes : String(scopes).split(' '));
      });

      it('a stolen token, an unbound one and one of another API are refused', async () => {
        const { as, ask } = start(page, heading, framework);
        const token = await issued(as, shown);
        expect(await ask(token, 'bob')).toMatchObject({ status: 401, code: 'certificate_mismatch' });
        const unbound = await issued(as, shown, { cnf: undefined, 'x5t#S256': undefined });
        expect(await ask(unbound)).toMatchObject({ status: 401, code: 'token_unbound' });
        const others = await issued(as, shown, { aud: 'https://other.example.com' });
        expect(await ask(others)).toMatchObject({ status: 401, code: 'token_wrong_audience' });
      });

      it('its ID token is refused, also one that names this API and the certificate', async () => {
        const { as, ask } = start(page, heading, framework);
        const { iss, aud } = shown.claims;
        const own = await issued(as, page.idToken);
        const like = await issued(as, page.idToken, { iss, aud, ...current({ cnf: {}, 'x5t#S256': '' }) });
        for (const token of [own, like]) {
          const { status, code } = await ask(token);
          expect(status).toBe(401);
          expect(code).toMatch(/^(?:jwt_type_not_accepted|token_wrong_issuer|token_wrong_audience)$/);
        }
        expect(refused.at(-1)?.refusal.code).toBe('jwt_type_not_accepted');
      });

      it('each option of jwtAccessTokens() is needed', async () => {
        const options = page.jwtOptions(heading);
        for (const left of Object.keys(options)) {
          const { as, ask } = start(page, heading, framework, { tokens: { ...options, [left]: undefined } });
          const { status, code } = await ask(await issued(as, shown));
          await api?.server.close();
          expect({ left, status }).toEqual({ left, status: 401 });
          expect(code).toMatch(/^(?:jwt_(?:algorithm|type)_not_accepted|token_claims_malformed)$/);
        }
        const { as, ask } = start(page, heading, framework, { tokens: options });
        expect((await ask(await issued(as, shown))).status).toBe(200);
      });
    });

    describe.each(introspection ? ['By introspection'] : [])('%s', (heading) => {
      const answered = (changes: object = {}) => ({ ...current(page.introspectionAnswer), ...changes });

      it('a good client is accepted', async () => {
        const { as, ask } = start(page, heading, framework);
        as.introspect = () => answered();
        const { status, body } = await ask('a-reference');
        expect({ status, ...introspection }).toEqual({
          status: 200,
          clientId: body.clientId,
          scopes: body.scopes,
        });
        expect(body.isBound).toBe(true);
      });

      it('a stolen token, an unbound one and an ID token are refused', async () => {
        const { as, ask } = start(page, heading, framework);
        as.introspect = (token) => (token === 'unbound' ? answered({ cnf: undefined }) : answered());
        expect(await ask('stolen', 'bob')).toMatchObject({ status: 401, code: 'certificate_mismatch' });
        expect(await ask('unbound')).toMatchObject({ status: 401, code: 'token_unbound' });
        // RFC 7662 §2.2: what is no active access token or refresh token.
        as.introspect = () => ({ active: false });
        const idToken = await issued(as, page.idToken);
        expect(await ask(idToken)).toMatchObject({ status: 401, code: 'token_inactive' });
        const others = answered({ aud: 'https://other.example.com' });
        as.introspect = () => others;
        const { audience } = page.options(heading, framework);
        expect((await ask('another-api')).status).toBe(audience === 'server-enforced' ? 200 : 401);
      });
    });
  });
});

it('they are nine shapes of JWT and seven introspection answers at least', () => {
  const shapes = new Set(
    vendors.flatMap(({ name, jwts }) =>
      jwts.map((heading) => {
        const { header, claims } = vendorPage(name).jwt(heading);
        return JSON.stringify([header.typ, Object.keys(claims).toSorted()]);
      }),
    ),
  );
  expect(shapes.size).toBeGreaterThanOrEqual(9);
  expect(vendors.filter(({ introspection }) => introspection).length).toBeGreaterThanOrEqual(7);
});

describe('what pages say of tokens that are refused', () => {
  it('janssen: a thumbprint at the top of an introspection answer binds nothing without the option', async () => {
    const page = vendorPage('janssen');
    const { cnf: _, ...answer } = current(page.introspectionAnswer);
    const { as, ask } = start(page, 'By introspection', 'Koa');
    as.introspect = () => ({ ...answer, 'x5t#S256': alice.certificate.thumbprint });
    expect(await ask('a-reference')).toMatchObject({ status: 401, code: 'token_unbound' });
  });

  it("janssen: a JWT without the script's cnf is bound to nothing", async () => {
    const page = vendorPage('janssen');
    const [heading = ''] = ['By JWT, with a script that writes cnf'];
    const { as, ask } = start(page, heading, 'Express');
    const shown = page.jwt(heading);
    expect(shown.claims).toHaveProperty(['x5t#S256']);
    expect(await ask(await issued(as, shown, { cnf: undefined }))).toMatchObject({ code: 'token_unbound' });
  });

  it("entra-id: a user's ID token with roles, for the API itself", async () => {
    const page = vendorPage('entra-id');
    const heading = 'By JWT, for applications without a user';
    const { aud, cnf } = page.jwt(heading).claims;
    const { as, ask } = start(page, heading, 'Express');
    const changes = { aud, cnf: current({ cnf }).cnf, roles: ['Accounts.Read.All'], nonce: undefined };
    expect(await ask(await issued(as, page.idToken, changes))).toMatchObject({
      code: 'token_claims_malformed',
    });
  });

  it.each([
    ['auth0', 'By JWT, with the Auth0 profile', { scope: 'openid profile' }],
    ['okta', 'By JWT', { scp: ['openid', 'email'] }],
    ['pingfederate', "By JWT, of a manager that can't be changed", { scope: ['openid'] }],
    ['connect2id', 'By JWT, with the profile c2id-1.0', { scp: ['openid'] }],
    ['janssen', 'By JWT, with a script that writes cnf', { scope: ['openid', 'profile'] }],
  ])('%s: a JWT with the scopes of OpenID Connect alone (%s)', async (name, heading, scopes) => {
    const page = vendorPage(name);
    const { as, ask } = start(page, heading, 'Express');
    const token = await issued(as, page.jwt(heading), scopes);
    expect(await ask(token)).toMatchObject({ status: 401, code: 'jwt_type_not_accepted' });
  });

  it('okta: a token that is bound by DPoP', async () => {
    const { as, ask } = start(vendorPage('okta'), 'By JWT', 'Express');
    const token = await issued(as, vendorPage('okta').jwt('By JWT'), { cnf: { jkt: 'a-thumbprint' } });
    expect(await ask(token)).toMatchObject({ status: 401, code: 'token_bound_otherwise' });
  });

  it('wso2: a refresh token that the server answers about', async () => {
    const page = vendorPage('wso2');
    const { as, ask } = start(page, 'By introspection', 'Express');
    as.introspect = () => ({ ...current(page.introspectionAnswer), token_type: 'Refresh' });
    expect(await ask('refresh')).toMatchObject({ status: 401, code: 'token_wrong_type' });
  });
});
