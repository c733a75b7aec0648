// The steps of the DPoP negative tests of OpenID's suite (fapi2-security-profile-final-dpop-negative-tests) against
// an API, and what RFC 9449 demands of a resource server besides.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:https';
import { jwtAccessTokens, type RefusedEvent, type ResourceServerOptions } from '@mtls-bound/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApi, frameworks, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call, rawCall } from '../../support/calls.js';
import { type DpopClient, dpopClient, type ProofChanges, proofOrigin } from '../../support/dpop-client.js';
import { createPki, type Pki } from '../../support/pki.js';
import { pretendIssuer } from '../../support/pretend-issuer.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
const client = dpopClient();
const stranger = dpopClient();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

beforeAll(async () => {
  pki = await createPki();
});

interface Request {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly path?: string;
  readonly certificate?: 'alice' | 'bob';
}

const kinds = ['opaque', 'JWT'] as const;

describe.each(frameworks.flatMap((framework) => kinds.map((kind) => ({ framework, kind }))))(
  '$framework, $kind tokens',
  ({ framework, kind }) => {
    const server = pretendIssuer('https://as.example.com');
    let api: TestApi;

    beforeAll(async () => {
      const options: ResourceServerOptions = {
        issuer: server.issuer,
        audience,
        clientId: 'api',
        clientSecret: 'a-client-secret',
        http: { fetch: server.fetch },
        dpop: { origin: proofOrigin },
        ...(kind === 'JWT' && { tokens: jwtAccessTokens() }),
      };
      const { listener, handled } = createApi(framework, options);
      api = await serve(createServer(mutualTls(pki), listener), handled);
    });
    afterAll(() => api.close());

    async function tokenWith(cnf: object | undefined): Promise<string> {
      const now = Math.floor(Date.now() / 1000);
      const claims = { aud: audience, sub: 'user', client_id: 'phone', iat: now, exp: now + 300, cnf };
      if (kind === 'JWT') {
        return server.sign(
          { ...claims, iss: server.issuer, jti: randomUUID() },
          { alg: 'ES256', typ: 'at+jwt' },
        );
      }
      const token = randomUUID();
      const { introspect } = server;
      server.introspect = (asked) => (asked === token ? { active: true, ...claims } : introspect(asked));
      return token;
    }

    /** `200`, or the status, the `error` of the answer and the code of the refusal. */
    async function send({ headers, path = '/', certificate }: Request): Promise<string> {
      const request = call(pki, api, path, certificate && pki[certificate]);
      const byName = new Map<string, string[]>();
      for (const [name, value] of headers) {
        byName.set(name, [...(byName.get(name) ?? []), value]);
      }
      for (const [name, values] of byName) {
        void request.set(name, (values.length === 1 ? values[0] : values) as string);
      }
      if (byName.has('Host')) {
        // The name that TLS compares is taken from it.
        void request.disableTLSCerts();
      }
      const before = api.handled();
      const { status, body } = await request;
      expect(api.handled() - before).toBe(status === 200 ? 1 : 0);
      return status === 200 ? '200' : `${status} ${body.error} ${refused.at(-1)?.refusal.code}`;
    }

    const withProof = (token: string, proof: string, scheme = 'DPoP'): Request => ({
      headers: [
        ['Authorization', `${scheme} ${token}`],
        ['DPoP', proof],
      ],
    });

    /** What a request with a good token and this proof gets. */
    async function sendChanged(changes: ProofChanges, by: DpopClient = client): Promise<string> {
      const token = await tokenWith({ jkt: client.jkt });
      return send(withProof(token, by.proof(token, changes)));
    }

    const iat = (ahead: number): number => Math.floor(Date.now() / 1000) + ahead;
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });

    it.each<[string, ProofChanges]>([
      ['a good proof', {}],
      ['further members in header and claims', { header: { foo: 'bar' }, claims: { foo: 'bar' } }],
      ['query and fragment in htu', { claims: { htu: `${proofOrigin}/?a=b#c` } }],
      ['scheme and host of htu in capitals', { claims: { htu: 'HTTPS://API.EXAMPLE.COM/' } }],
      ['the default port in htu', { claims: { htu: `${proofOrigin}:443/` } }],
      ['an iat of 10 seconds ago', { claims: { iat: iat(-10) } }],
      ['an iat of 10 seconds ahead', { claims: { iat: iat(10) } }],
      ['nbf now and exp in five minutes', { claims: { nbf: iat(0), exp: iat(300) } }],
    ])('R226: accepts %s', async (_, changes) => {
      expect(await sendChanged(changes)).toBe('200');
    });

    it.each<[string, ProofChanges, string]>([
      ...(['typ', 'alg', 'jwk'] as const).map((name): [string, ProofChanges, string] => [
        `without ${name}`,
        { header: { [name]: undefined } },
        'dpop_proof_malformed',
      ]),
      ['without jti', { claims: { jti: undefined } }, 'dpop_proof_malformed'],
      ['without htm', { claims: { htm: undefined } }, 'dpop_proof_for_another'],
      ['without htu', { claims: { htu: undefined } }, 'dpop_proof_for_another'],
      ['without iat', { claims: { iat: undefined } }, 'dpop_proof_malformed'],
      ['without ath', { claims: { ath: undefined } }, 'dpop_proof_for_another'],
      ['with another typ', { header: { typ: 'JWT' } }, 'dpop_proof_malformed'],
      [
        'by RS256 with an RSA key',
        { header: { alg: 'RS256', jwk: rsa.publicKey.export({ format: 'jwk' }) } },
        'dpop_proof_malformed',
      ],
      ['with alg none', { header: { alg: 'none' } }, 'dpop_proof_malformed'],
      ['with a symmetric alg', { header: { alg: 'HS256' } }, 'dpop_proof_malformed'],
      ['with a bad signature', { signer: stranger.privateKey }, 'dpop_signature_invalid'],
      ['with a private key in jwk', { header: { jwk: client.privateJwk } }, 'dpop_proof_malformed'],
      ['for PUT', { claims: { htm: 'PUT' } }, 'dpop_proof_for_another'],
      ['for another path', { claims: { htu: `${proofOrigin}/other` } }, 'dpop_proof_for_another'],
      ['for another host', { claims: { htu: 'https://other.example/' } }, 'dpop_proof_for_another'],
      ['made an hour ahead', { claims: { iat: iat(3_600) } }, 'dpop_proof_untimely'],
      ['made an hour ago', { claims: { iat: iat(-3_600) } }, 'dpop_proof_untimely'],
      ['with a wrong ath', { claims: { ath: 'A'.repeat(43) } }, 'dpop_proof_for_another'],
    ])('R227: refuses a proof %s', async (_, changes, code) => {
      expect(await sendChanged(changes)).toBe(`401 invalid_dpop_proof ${code}`);
    });

    it('R229: refuses a proof by another key: the token is bound to the first', async () => {
      expect(await sendChanged({}, stranger)).toBe('401 invalid_token dpop_key_mismatch');
    });

    it.each<[string, (token: string) => Request, string]>([
      [
        'two proofs',
        (token) => ({
          headers: [
            ['Authorization', `DPoP ${token}`],
            ['DPoP', client.proof(token)],
            ['DPoP', client.proof(token)],
          ],
        }),
        '400 invalid_request dpop_proof_repeated',
      ],
      [
        'a proof that is no JWT',
        (token) => withProof(token, 'proof'),
        '401 invalid_dpop_proof dpop_proof_malformed',
      ],
      [
        'a proof of more than 8,192 characters',
        (token) => withProof(token, 'a'.repeat(8_193)),
        '400 invalid_request dpop_proof_too_long',
      ],
      [
        'no proof',
        (token) => ({ headers: [['Authorization', `DPoP ${token}`]] }),
        '401 invalid_dpop_proof dpop_proof_missing',
      ],
      [
        'no proof and the scheme Bearer',
        (token) => ({ headers: [['Authorization', `Bearer ${token}`]], certificate: 'alice' }),
        '401 invalid_token dpop_scheme_missing',
      ],
      [
        'a good proof and the scheme Bearer',
        (token) => ({ ...withProof(token, client.proof(token), 'Bearer'), certificate: 'alice' }),
        '401 invalid_token dpop_scheme_missing',
      ],
      [
        'a good proof and the scheme Bearer, without certificate',
        (token) => withProof(token, client.proof(token), 'Bearer'),
        '401 invalid_token dpop_scheme_missing',
      ],
      [
        'the scheme Bearer, without proof and certificate',
        (token) => ({ headers: [['Authorization', `Bearer ${token}`]] }),
        '401 invalid_token certificate_missing',
      ],
      [
        'two tokens, one by each scheme',
        (token) => ({
          headers: [
            ['Authorization', `DPoP ${token}`],
            ['Authorization', `Bearer ${token}`],
            ['DPoP', client.proof(token)],
          ],
        }),
        '400 invalid_request credentials_repeated',
      ],
    ])('R228: refuses %s', async (_, make, outcome) => {
      expect(await send(make(await tokenWith({ jkt: client.jkt })))).toBe(outcome);
    });

    it.each([['dpop'], ['DPOP'], ['DPoP']])(
      'R238: reads the scheme in any letter case: %s',
      async (scheme) => {
        const token = await tokenWith({ jkt: client.jkt });
        expect(await send(withProof(token, client.proof(token), scheme))).toBe('200');
        const without = { headers: [['Authorization', `${scheme} ${token}`]] } as const;
        expect(await send(without)).toBe('401 invalid_dpop_proof dpop_proof_missing');
      },
    );

    it('reads the header DPoP in any letter case', async () => {
      const token = await tokenWith({ jkt: client.jkt });
      expect(
        await send({
          headers: [
            ['Authorization', `DPoP ${token}`],
            ['DPOP', client.proof(token)],
          ],
        }),
      ).toBe('200');
    });

    it('R232: accepts a proof once, and another with each request', async () => {
      const token = await tokenWith({ jkt: client.jkt });
      const proof = client.proof(token);
      expect([
        await send(withProof(token, proof)),
        await send(withProof(token, proof)),
        await send(withProof(token, client.proof(token))),
      ]).toEqual(['200', '401 invalid_dpop_proof dpop_proof_replayed', '200']);
    });

    it('R232: refuses the jti of an accepted proof in another proof by its key', async () => {
      const token = await tokenWith({ jkt: client.jkt });
      const claims = { jti: randomUUID() };
      expect(await send(withProof(token, client.proof(token, { claims })))).toBe('200');
      const again = client.proof(token, { claims: { ...claims, iat: iat(-1) } });
      expect(await send(withProof(token, again))).toBe('401 invalid_dpop_proof dpop_proof_replayed');
    });

    it('lets one of ten requests in that come with one proof at the same moment', async () => {
      const token = await tokenWith({ jkt: client.jkt });
      await send(withProof(token, client.proof(token)));
      const proof = client.proof(token);
      const statuses = await Promise.all(
        Array.from({ length: 10 }, async () => {
          const request = call(pki, api, '/').set('Authorization', `DPoP ${token}`).set('DPoP', proof);
          return (await request).status;
        }),
      );
      expect(statuses.toSorted()).toEqual([200, ...Array.from({ length: 9 }, () => 401)]);
    });

    it('R233: does not use up the jti of a proof that is refused for another reason', async () => {
      const token = await tokenWith({ jkt: client.jkt });
      const jti = randomUUID();
      const forged = client.proof(token, { claims: { jti }, signer: stranger.privateKey });
      expect(await send(withProof(token, forged))).toBe('401 invalid_dpop_proof dpop_signature_invalid');
      for (const claims of [{ ath: 'A'.repeat(43) }, { htm: 'PUT' }, { iat: iat(-3_600) }]) {
        const broken = client.proof(token, { claims: { jti, ...claims } });
        expect(await send(withProof(token, broken))).toMatch(/^401 invalid_dpop_proof/);
      }
      const unknown = client.proof('unknown', { claims: { jti } });
      expect(await send(withProof('unknown', unknown))).toMatch(/^401 invalid_token/);
      const other = stranger.proof(token, { claims: { jti } });
      expect(await send(withProof(token, other))).toBe('401 invalid_token dpop_key_mismatch');
      expect(await send(withProof(token, client.proof(token, { claims: { jti } })))).toBe('200');
    });

    it('R233: a client can not use up the jti of another client', async () => {
      const jti = randomUUID();
      const own = await tokenWith({ jkt: stranger.jkt });
      expect(await send(withProof(own, stranger.proof(own, { claims: { jti } })))).toBe('200');
      const token = await tokenWith({ jkt: client.jkt });
      expect(await send(withProof(token, client.proof(token, { claims: { jti } })))).toBe('200');
    });

    it.each([
      ['/a{b}"c', '/a%7bb%7D%22c', 200],
      ['/a%7Eb', '/a~b', 200],
      ['/a//b', '/a//b', 200],
      ['/b', '/a/../b', 200],
      ['/a/../b', '/b', 401],
      ['/a/../b', '/a/../b', 401],
      ['/a%2fb', '/a/b', 401],
      ['//a', '/a', 401],
    ])('answers a request for %s with a proof for %s: %i', async (target, path, expected) => {
      const token = await tokenWith({ jkt: client.jkt });
      const proof = client.proof(token, { claims: { htu: `${proofOrigin}${path}` } });
      const lines = [`Authorization: DPoP ${token}`, `DPoP: ${proof}`];
      expect((await rawCall(pki, api, lines, undefined, target)).status).toBe(expected);
    });

    it('accepts the proofs of a client that changes the header of each, and of another meanwhile', async () => {
      const own = await tokenWith({ jkt: stranger.jkt });
      const token = await tokenWith({ jkt: client.jkt });
      for (let i = 0; i < 5; i += 1) {
        expect(await send(withProof(own, stranger.proof(own, { header: { kid: `${i}` } })))).toBe('200');
        expect(await send(withProof(token, client.proof(token)))).toBe('200');
      }
      const forged = stranger.proof(own, { header: { kid: '4' }, signer: client.privateKey });
      expect(await send(withProof(own, forged))).toBe('401 invalid_dpop_proof dpop_signature_invalid');
    });

    it('R234: ignores what the request says of its host: a proof for another origin is refused', async () => {
      const token = await tokenWith({ jkt: client.jkt });
      const outcome = '401 invalid_dpop_proof dpop_proof_for_another';
      // The header Host of the request names this one.
      const own = client.proof(token, { claims: { htu: `${api.url}/` } });
      expect(await send(withProof(token, own))).toBe(outcome);
      const other = withProof(token, client.proof(token, { claims: { htu: 'https://evil.example/' } }));
      for (const [name, value] of [
        ['X-Forwarded-Host', 'evil.example'],
        ['X-Original-Host', 'evil.example'],
        ['Forwarded', 'host=evil.example;proto=https'],
        ['Host', 'evil.example'],
        // What some URL parsers take for the end of the host.
        ['Host', 'evil.example/?x'],
        ['Host', 'evil.example/#x'],
      ] as const) {
        expect(await send({ headers: [...other.headers, [name, value]] })).toBe(outcome);
      }
    });

    describe('R231: a token that is bound to key and certificate', () => {
      const both = () => tokenWith({ jkt: client.jkt, 'x5t#S256': pki.alice.thumbprint });
      it.each([
        ['both are right', client, 'alice', '200'],
        ['the key is wrong', stranger, 'alice', '401 invalid_token dpop_key_mismatch'],
        ['the certificate is wrong', client, 'bob', '401 invalid_token certificate_mismatch'],
        ['both are wrong', stranger, 'bob', '401 invalid_token certificate_mismatch'],
        ['there is no certificate', client, undefined, '401 invalid_token certificate_missing'],
      ] as const)('%s', async (_, by, certificate, outcome) => {
        const token = await both();
        const request = withProof(token, by.proof(token));
        expect(await send(certificate === undefined ? request : { ...request, certificate })).toBe(outcome);
      });

      it('R230: is refused under Bearer, with the right certificate', async () => {
        const token = await both();
        expect(await send({ headers: [['Authorization', `Bearer ${token}`]], certificate: 'alice' })).toBe(
          '401 invalid_token dpop_scheme_missing',
        );
      });
    });

    it.each<[string, object | undefined, string]>([
      ['a certificate alone', { 'x5t#S256': 'alice' }, '401 invalid_token dpop_token_unbound'],
      ['nothing', undefined, '401 invalid_token dpop_token_unbound'],
      ['a key that is no text', { jkt: 1 }, '401 invalid_token token_bound_otherwise'],
      ['an empty key', { jkt: '' }, '401 invalid_token token_bound_otherwise'],
      ['a list of keys', { jkt: [client.jkt] }, '401 invalid_token token_bound_otherwise'],
      [
        'a key and a method that is not known here',
        { jkt: client.jkt, jwk: {} },
        '401 invalid_token token_bound_otherwise',
      ],
    ])('refuses a proof for a token that is bound to %s', async (_, cnf, outcome) => {
      const own = cnf !== undefined && 'x5t#S256' in cnf ? { 'x5t#S256': pki.alice.thumbprint } : cnf;
      const token = await tokenWith(own);
      expect(await send({ ...withProof(token, client.proof(token)), certificate: 'alice' })).toBe(outcome);
    });

    it('ignores members of cnf that are not registered (RFC 7800 §3.1)', async () => {
      const token = await tokenWith({ jkt: client.jkt, 'https://example.com/other': 'x' });
      expect(await send(withProof(token, client.proof(token)))).toBe('200');
    });

    it('compares the key with its letter case', async () => {
      const swapped = client.jkt.replace(/[a-z]/i, (one) =>
        one === one.toLowerCase() ? one.toUpperCase() : one.toLowerCase(),
      );
      const token = await tokenWith({ jkt: swapped });
      expect(await send(withProof(token, client.proof(token)))).toBe('401 invalid_token dpop_key_mismatch');
    });

    it('accepts a token that is bound to a certificate under Bearer as before, whatever the header DPoP', async () => {
      const token = await tokenWith({ 'x5t#S256': pki.alice.thumbprint });
      const request: Request = { headers: [['Authorization', `Bearer ${token}`]], certificate: 'alice' };
      expect(await send(request)).toBe('200');
      expect(await send({ ...request, headers: [...request.headers, ['DPoP', 'stray']] })).toBe('200');
      expect(await send({ ...request, certificate: 'bob' })).toBe('401 invalid_token certificate_mismatch');
    });

    it('R236: offers both schemes, with the error under the one that was used (RFC 9449 §7.1)', async () => {
      const token = await tokenWith({ jkt: client.jkt });
      const challenge = async (...headers: [string, string][]): Promise<string | undefined> => {
        const request = call(pki, api, '/');
        for (const [name, value] of headers) {
          void request.set(name, value);
        }
        return (await request).headers['www-authenticate'];
      };
      const algs = 'algs="PS256 ES256 EdDSA Ed25519"';
      expect(await challenge()).toBe(`Bearer realm="api", DPoP realm="api", ${algs}`);
      expect(await challenge(['Authorization', `Bearer ${token}`])).toBe(
        'Bearer realm="api", error="invalid_token", error_description="A client certificate is required", ' +
          `DPoP realm="api", ${algs}`,
      );
      expect(await challenge(['Authorization', `DPoP ${token}`], ['DPoP', stranger.proof(token)])).toBe(
        'DPoP realm="api", error="invalid_token", ' +
          `error_description="The access token is bound to another key", ${algs}, Bearer realm="api"`,
      );
    });
  },
);
