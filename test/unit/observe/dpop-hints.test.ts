// What an operator, and with `explain: true` the client, is told about refusals of DPoP.
import { createResourceServer, type RefusedEvent, type RequestRefused } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { dpopClient, type ProofChanges, proofOrigin } from '../../support/dpop-client.js';
import { recordedEvents } from '../../support/recorded-events.js';

let kit: TestKit;
const client = dpopClient();
const stranger = dpopClient();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

beforeAll(async () => {
  kit = await createTestKit();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  return () => vi.restoreAllMocks();
});

interface Answered {
  readonly code: string;
  readonly hintCode: string | undefined;
  readonly challenge: string | undefined;
}

async function send(headers: Record<string, string>, options: object): Promise<Answered> {
  const server = createResourceServer({
    ...kit.options,
    certificate: () => kit.certificate,
    explain: true,
    ...options,
  });
  const req = { method: 'GET', url: '/', headers, rawHeaders: Object.entries(headers).flat(), socket: {} };
  try {
    await server.authorize(req as never);
  } catch (thrown) {
    return {
      code: (thrown as RequestRefused).code,
      hintCode: refused.at(-1)?.explanation.hintCode,
      challenge: server.answer(thrown, req as never).headers['WWW-Authenticate'],
    };
  }
  throw new Error('the request was accepted');
}

const tokenOf = (cnf: object | undefined, more: object = {}): string =>
  kit.unboundToken({ claims: { ...(cnf && { cnf }), ...more } });

describe('without the option dpop', () => {
  it.each<[string, () => Record<string, string>, string]>([
    ['the scheme DPoP', () => ({ authorization: 'DPoP token' }), 'credentials_missing'],
    [
      'the scheme DPoP in another letter case',
      () => ({ authorization: 'dpop token' }),
      'credentials_missing',
    ],
    [
      'a token that is bound to a key',
      () => ({ authorization: `Bearer ${tokenOf({ jkt: client.jkt })}` }),
      'token_bound_otherwise',
    ],
    [
      'a token that is bound to key and certificate',
      () => ({
        authorization: `Bearer ${tokenOf({ jkt: client.jkt, 'x5t#S256': kit.certificate.thumbprint })}`,
      }),
      'token_bound_otherwise',
    ],
    [
      'a token of the type DPoP',
      () => ({ authorization: `Bearer ${tokenOf({ jkt: client.jkt }, { token_type: 'DPoP' })}` }),
      'token_wrong_type',
    ],
  ])('%s: event and challenge say that DPoP is not accepted here', async (_, headers, code) => {
    const answered = await send(headers(), {});
    expect(answered).toMatchObject({ code, hintCode: 'dpop_off' });
    expect(answered.challenge).toMatch(/^Bearer realm="api".*this API does not accept the scheme DPoP/);
    expect(answered.challenge).not.toContain('DPoP realm');
  });

  it.each<[string, () => Record<string, string>]>([
    ['no credentials', () => ({})],
    ['the scheme Basic', () => ({ authorization: 'Basic dXNlcjpwYXNz' })],
    ['a scheme that begins with the word', () => ({ authorization: 'DPoPx token' })],
    ['another method in cnf', () => ({ authorization: `Bearer ${tokenOf({ kid: 'key' })}` })],
    ['another type', () => ({ authorization: `Bearer ${tokenOf(undefined, { token_type: 'mac' })}` })],
  ])('%s: no word of DPoP', async (_, headers) => {
    const answered = await send(headers(), {});
    expect(answered.hintCode).not.toBe('dpop_off');
    expect(answered.challenge).not.toContain('DPoP');
  });

  it('the challenge for a scheme that is not accepted has no error (RFC 6750 §3.1)', async () => {
    const headers = { authorization: 'DPoP token' };
    expect((await send(headers, {})).challenge).not.toContain('error=');
    expect((await send(headers, { explain: false })).challenge).toBe('Bearer realm="api"');
  });
});

describe('with the option dpop', () => {
  const withProof = (token: string, proof: string) => ({ authorization: `DPoP ${token}`, dpop: proof });
  const bound = () => tokenOf({ jkt: client.jkt });
  const changed = (changes: ProofChanges, by = client) => {
    const token = bound();
    return withProof(token, by.proof(token, changes));
  };
  const hour = 3_600;
  const now = Math.floor(Date.now() / 1000);

  it.each<[string, string | undefined, () => Record<string, string>]>([
    ['dpop_scheme_missing', 'dpop_token_under_bearer', () => ({ authorization: `Bearer ${bound()}` })],
    [
      'token_wrong_type',
      'dpop_token_under_bearer',
      () => ({ authorization: `Bearer ${tokenOf({ jkt: client.jkt }, { token_type: 'DPoP' })}` }),
    ],
    [
      'dpop_token_unbound',
      'dpop_token_without_key',
      () => {
        const token = tokenOf(undefined);
        return withProof(token, client.proof(token));
      },
    ],
    ['dpop_key_mismatch', 'dpop_key_replaced', () => changed({}, stranger)],
    ['dpop_proof_missing', 'dpop_proof_not_sent', () => ({ authorization: `DPoP ${bound()}` })],
    ['dpop_proof_malformed', 'dpop_not_one_jwt', () => withProof(bound(), 'proof')],
    ['dpop_proof_malformed', 'dpop_not_one_jwt', () => withProof(bound(), 'a.b.')],
    ['dpop_proof_malformed', 'dpop_not_one_jwt', () => withProof(bound(), 'e30=.e30.AAAA')],
    ['dpop_proof_malformed', 'dpop_not_one_jwt', () => withProof(bound(), 'AAAA.e30.AAAA')],
    ['dpop_proof_malformed', 'dpop_not_a_proof', () => changed({ header: { typ: 'JWT' } })],
    ['dpop_proof_malformed', 'dpop_algorithm_not_accepted', () => changed({ header: { alg: 'HS256' } })],
    ['dpop_proof_malformed', 'dpop_extension', () => changed({ header: { crit: ['b64'] } })],
    ['dpop_proof_malformed', 'dpop_private_key_sent', () => changed({ header: { jwk: client.privateJwk } })],
    ['dpop_proof_malformed', 'dpop_key_unfit', () => changed({ header: { jwk: undefined } })],
    ['dpop_proof_malformed', 'dpop_key_unfit', () => changed({ header: { jwk: { kty: 'RSA' } } })],
    ['dpop_proof_malformed', 'dpop_key_unfit', () => changed({ header: { jwk: 'key' } })],
    ['dpop_proof_malformed', 'dpop_claim_malformed', () => changed({ claims: { jti: 1 } })],
    ['dpop_proof_malformed', 'dpop_claim_malformed', () => changed({ claims: { iat: String(now) } })],
    ['dpop_proof_malformed', 'dpop_claim_malformed', () => changed({ claims: { exp: 'never' } })],
    ['dpop_proof_malformed', 'dpop_claim_malformed', () => changed({ claims: { nbf: 'now' } })],
    ['dpop_proof_for_another', 'dpop_other_url', () => changed({ claims: { htu: 'https://a.example/' } })],
    ['dpop_proof_for_another', 'dpop_claim_missing', () => changed({ claims: { htu: undefined } })],
    ['dpop_proof_for_another', 'dpop_other_method', () => changed({ claims: { htm: 'POST' } })],
    ['dpop_proof_for_another', 'dpop_other_token', () => changed({ claims: { ath: undefined } })],
    ['dpop_proof_for_another', 'dpop_other_token', () => changed({ claims: { ath: 'another' } })],
    ['dpop_proof_untimely', 'dpop_clock', () => changed({ claims: { iat: now - hour } })],
    ['dpop_proof_untimely', 'dpop_clock', () => changed({ claims: { iat: now + hour } })],
    ['dpop_signature_invalid', 'dpop_wrong_signer', () => changed({ signer: stranger.privateKey })],
  ])('%s has the hint %s', async (code, hintCode, headers) => {
    const answered = await send(headers(), { dpop: { origin: proofOrigin } });
    expect(answered).toMatchObject({ code, hintCode });
    expect(answered.challenge).toContain(code);
    // The certificate has no part in it.
    expect(answered.challenge).not.toContain('no certificate came');
  });

  it('a proof under Bearer, and no certificate: the scheme is what the client must change', async () => {
    const dpop = { origin: proofOrigin };
    const token = 'a token that is never asked about'.replaceAll(' ', '-');
    const headers = { authorization: `Bearer ${token}`, dpop: client.proof(token) };
    const without = { certificate: () => undefined };
    const answered = await send(headers, { dpop, ...without });
    expect(answered).toMatchObject({ code: 'dpop_scheme_missing', hintCode: 'dpop_token_under_bearer' });
    expect(answered.challenge).toContain('a client that uses DPoP must send its token with the scheme DPoP');
    const { authorization } = headers;
    const missing = { code: 'certificate_missing', hintCode: undefined };
    expect(await send({ authorization }, { dpop, ...without })).toMatchObject(missing);
    expect(await send(headers, without)).toMatchObject(missing);
    // Such a request is not refused before its token is known.
    const tolerant = { dpop, ...without, binding: 'when-bound' };
    const bearer = { authorization: `Bearer ${bound()}`, dpop: 'anything' };
    expect(await send(bearer, tolerant)).toMatchObject({ code: 'dpop_scheme_missing' });
  });

  it('dpop_nonce_required has a hint', async () => {
    const nonce = { secret: 'n'.repeat(32) };
    expect(await send(changed({}), { dpop: { origin: proofOrigin, nonce } })).toMatchObject({
      code: 'dpop_nonce_required',
      hintCode: 'dpop_nonce_first',
    });
  });

  it('a request without credentials is not said to use DPoP wrongly', async () => {
    const answered = await send({ authorization: 'Basic abc' }, { dpop: { origin: proofOrigin } });
    expect(answered.hintCode).toBeUndefined();
  });

  it('a client that sends its private key is told so, and no part of the key is shown', async () => {
    const headers = changed({ header: { jwk: client.privateJwk } });
    const { challenge = '' } = await send(headers, { dpop: { origin: proofOrigin } });
    expect(challenge).toContain('it must write the public key into jwk, and make a new key');
    expect(challenge).not.toContain(client.privateJwk.d);
    const pem = changed({ header: { jwk: '-----BEGIN PRIVATE KEY-----' } });
    expect((await send(pem, { dpop: { origin: proofOrigin } })).challenge).not.toContain('BEGIN');
  });

  it.each<[string, ProofChanges]>([
    ['typ', { header: { typ: 'JWT' } }],
    ['jwk', { header: { jwk: client.privateJwk } }],
    ['jti', { claims: { jti: 1 } }],
  ])(
    'without explain, the client reads one text whatever is wrong with its proof: %s',
    async (_, changes) => {
      const options = { dpop: { origin: proofOrigin }, explain: false };
      expect((await send(changed(changes), options)).challenge).toMatch(
        /^DPoP realm="api", error="invalid_dpop_proof", error_description="The DPoP proof is not of the form of RFC 9449", algs=/,
      );
    },
  );

  it('no explanation has the token or the proof', async () => {
    const headers = changed({ claims: { iat: now - hour } });
    const { challenge = '' } = await send(headers, { dpop: { origin: proofOrigin } });
    for (const secret of [headers.dpop, headers.authorization?.split(' ')[1]]) {
      expect(challenge).not.toContain(secret);
    }
  });
});
