// A server that writes the thumbprint at the top of a token or of an introspection answer: it binds the
// token where `claims.thumbprint` names it, and nowhere else.
import {
  activeTokenPolicy,
  type Binding,
  ClientCertificate,
  ConfigurationError,
  createResourceServer,
  introspection,
  type JwtAccessTokensOptions,
  jwtAccessTokens,
  type RefusedEvent,
  type ResourceServer,
  type TokenSource,
} from '@mtls-bound/core';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPki, type Pki } from '../../support/pki.js';
import { type PretendIssuer, pretendIssuer } from '../../support/pretend-issuer.js';
import { outcomeOf, requestWith } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
const named = { claims: { thumbprint: 'x5t#S256' } } as const;
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

let pki: Pki;
let as: PretendIssuer;
let server: ResourceServer | undefined;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});
beforeEach(() => {
  as = pretendIssuer(issuer);
});
afterEach(async () => {
  await server?.close();
  server = undefined;
});

function start(tokens: TokenSource, binding: Binding = 'required'): ResourceServer {
  server = createResourceServer({
    issuer,
    audience,
    clientId: 'api',
    clientSecret: 'a-client-secret',
    binding,
    tokens,
    certificate: () => new ClientCertificate(pki.alice.der),
    http: { fetch: as.fetch },
  });
  return server;
}

const claims = (changes: object): object => {
  const iat = Math.floor(Date.now() / 1000);
  return {
    iss: issuer,
    aud: audience,
    sub: 'u',
    client_id: 'alice',
    jti: '1',
    iat,
    exp: iat + 600,
    ...changes,
  };
};
const signed = (changes: object): Promise<string> =>
  as.sign(claims(changes), { alg: 'ES256', typ: 'at+jwt' });

/** Both ways in which a token becomes claims. */
const sources: [string, (options: object) => TokenSource, (changes: object) => Promise<string>][] = [
  ['a JWT', (options) => jwtAccessTokens(options), signed],
  [
    'an introspection answer',
    (options) => introspection(options),
    async (changes) => {
      as.introspect = () => ({ active: true, ...claims(changes) });
      return 'a-reference';
    },
  ],
];

const alices = () => pki.alice.thumbprint;
const bobs = () => pki.bob.thumbprint;
const top = (value: unknown): object => ({ 'x5t#S256': value });

describe.each(sources)('%s', (_title, make, tokenOf) => {
  const outcome = async (options: object, changes: object, binding?: Binding): Promise<string> => {
    const api = start(make(options), binding);
    const token = await tokenOf(changes);
    return outcomeOf(() => api.authorize(requestWith(token)));
  };

  it.each<[string, () => object, string]>([
    ['the thumbprint of the certificate', () => top(alices()), 'admitted'],
    ['the thumbprint of another certificate', () => top(bobs()), 'certificate_mismatch'],
    ['the right one at the top and in cnf', () => ({ ...top(alices()), cnf: top(alices()) }), 'admitted'],
    ['cnf alone', () => ({ cnf: top(alices()) }), 'admitted'],
    ['another one at the top', () => ({ ...top(bobs()), cnf: top(alices()) }), 'token_bound_otherwise'],
    ['another one in cnf', () => ({ ...top(alices()), cnf: top(bobs()) }), 'token_bound_otherwise'],
    ['cnf with another method', () => ({ ...top(alices()), cnf: { jkt: 'x' } }), 'token_bound_otherwise'],
    [
      'the right one in both, and another method in cnf',
      () => ({ ...top(alices()), cnf: { ...top(alices()), jkt: 'x' } }),
      'token_bound_otherwise',
    ],
    ['cnf that is empty', () => ({ ...top(alices()), cnf: {} }), 'token_bound_otherwise'],
    ['cnf that is a text', () => ({ ...top(alices()), cnf: alices() }), 'token_bound_otherwise'],
    ['cnf that is a list', () => ({ ...top(alices()), cnf: [top(alices())] }), 'token_bound_otherwise'],
    ['cnf that is null, which counts as absent', () => ({ ...top(alices()), cnf: null }), 'admitted'],
    [
      'cnf that is null, and the thumbprint of another certificate',
      () => ({ ...top(bobs()), cnf: null }),
      'certificate_mismatch',
    ],
    ['an empty text', () => top(''), 'token_bound_otherwise'],
    ['a list', () => top([alices()]), 'token_bound_otherwise'],
    ['false', () => top(false), 'token_bound_otherwise'],
    ['null, which counts as absent', () => top(null), 'token_unbound'],
    ['none', () => ({}), 'token_unbound'],
    ['the one of another name', () => ({ x5t: alices() }), 'token_unbound'],
  ])('with %s', async (_case, changes, expected) => {
    expect(await outcome(named, changes())).toBe(expected);
  });

  it.each<[string, () => object]>([
    ['another one at the top', () => ({ ...top(bobs()), cnf: top(alices()) })],
    ['another one in cnf', () => ({ ...top(alices()), cnf: top(bobs()) })],
    ['cnf with another method', () => ({ ...top(alices()), cnf: { jkt: 'x' } })],
    ['cnf that is empty', () => ({ ...top(alices()), cnf: {} })],
  ])("with %s, binding: 'report' reports it", async (_case, changes) => {
    expect(await outcome(named, changes(), 'report')).toBe('admitted');
    expect([...(server?.reported ?? [])]).toEqual([['token_bound_otherwise', 1]]);
  });

  it('what is no thumbprint does not make the token unbound where unbound tokens pass', async () => {
    for (const value of ['', 0, false, [], {}]) {
      expect(await outcome(named, top(value), 'when-bound')).toBe('token_bound_otherwise');
    }
    expect(await outcome(named, top(bobs()), 'when-bound')).toBe('certificate_mismatch');
  });

  it('without the option it binds nothing, and the refusal names the option', async () => {
    expect(await outcome({}, top(alices()))).toBe('token_unbound');
    expect(refused.at(-1)?.refusal.detail).toBe('x5t#S256 is at the top of the token, not in cnf');
    expect(refused.at(-1)?.explanation.hint).toContain("claims: { thumbprint: 'x5t#S256' }");
    expect(refused.at(-1)?.explanation.hintCode).toBe('thumbprint_outside_cnf');
    expect(await outcome({}, {})).toBe('token_unbound');
    expect(refused.at(-1)?.refusal.detail).toBeUndefined();
    expect(refused.at(-1)?.explanation.hint).toContain('without cnf');
  });

  it('is cached, and revoked by its thumbprint, as a token with cnf is', async () => {
    const seen = async (binding: object): Promise<unknown> => {
      const before = as.asked.length;
      const api = start(make(named));
      const token = await tokenOf({ ...binding, iat: Math.floor(Date.now() / 1000) - 100 });
      const outcomes = [];
      for (const isRevoked of [false, false, true]) {
        if (isRevoked) {
          await api.revoke({ thumbprint: alices() });
        }
        outcomes.push(await outcomeOf(() => api.authorize(requestWith(token))));
      }
      await api.close();
      return { outcomes, asked: as.asked.slice(before) };
    };
    const ofCnf = await seen({ cnf: top(alices()) });
    expect(await seen(top(alices()))).toEqual(ofCnf);
    expect(ofCnf).not.toEqual(await seen({ cnf: top(bobs()) }));
  });
});

describe('a JWT that the server is asked about', () => {
  const asked = async (options: JwtAccessTokensOptions, own: object, answer: object): Promise<string> => {
    const api = start(jwtAccessTokens(options));
    const token = await signed(own);
    as.introspect = () => ({ active: true, ...answer });
    const request = requestWith(token);
    const auth = await api.authorize(request);
    return outcomeOf(() => api.require(request, auth, activeTokenPolicy));
  };
  const options = { ...named, introspection: introspection() };

  it.each<[string, () => object, string]>([
    ['the same at the top', () => top(alices()), 'admitted'],
    ['the same in cnf', () => ({ cnf: top(alices()) }), 'admitted'],
    ['nothing', () => ({}), 'admitted'],
    ['another at the top', () => top(bobs()), 'token_bound_otherwise'],
    ['another in cnf', () => ({ cnf: top(bobs()) }), 'token_bound_otherwise'],
    [
      'another at the top than in cnf',
      () => ({ ...top(bobs()), cnf: top(alices()) }),
      'token_bound_otherwise',
    ],
    [
      'another in cnf than at the top',
      () => ({ ...top(alices()), cnf: top(bobs()) }),
      'token_bound_otherwise',
    ],
  ])('which answers with %s', async (_title, answer, expected) => {
    expect(await asked(options, top(alices()), answer())).toBe(expected);
  });

  it('whose introspection() alone names the claim', async () => {
    const ofAnswer = { introspection: introspection(named) };
    expect(await asked(ofAnswer, { cnf: top(alices()) }, top(alices()))).toBe('admitted');
    expect(await asked(ofAnswer, { cnf: top(alices()) }, top(bobs()))).toBe('token_bound_otherwise');
  });
});

describe('refused at start-up', () => {
  const make = {
    'jwtAccessTokens()': (given: unknown) => jwtAccessTokens({ claims: given } as never),
    'introspection()': (given: unknown) => introspection({ claims: given } as never),
  };
  it.each(Object.entries(make))('%s', (name, source) => {
    for (const wrong of ['cnf', 'iss', 'exp', '', ' a', ['x5t#S256'], true, null]) {
      expect(() => source({ thumbprint: wrong })).toThrow(ConfigurationError);
      expect(() => source({ thumbprint: wrong })).toThrow(`${name}.claims.thumbprint: `);
    }
    expect(() => source({ Thumbprint: 'x5t#S256' })).toThrow(`${name}.claims.Thumbprint: `);
    expect(() => source('x5t#S256')).toThrow(`${name}.claims: `);
  });

  it.each([
    [{ thumbprint: 'sub' }],
    [{ thumbprint: 'client_id', clientId: 'azp' }],
    [{ thumbprint: 'azp', clientId: 'azp' }],
  ])('%j, which names a claim with another meaning', (given) => {
    expect(() => jwtAccessTokens({ claims: given })).toThrow('jwtAccessTokens().claims.thumbprint: ');
  });

  it.each(['sub', 'client_id', 'active'])('introspection(): %s, which has another meaning', (thumbprint) => {
    expect(() => introspection({ claims: { thumbprint } })).toThrow('introspection().claims.thumbprint: ');
  });
});
