// Nonces for proofs (RFC 9449 §8, §9), as a client in a browser uses them.
import { createServer } from 'node:https';
import type { RefusedEvent } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let kit: TestKit;
const client = dpopClient();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const secret = 'n'.repeat(32);

beforeAll(async () => {
  pki = await createPki();
  kit = await createTestKit();
});
afterEach(() => {
  vi.useRealTimers();
});

describe.each(frameworks)('%s', (framework) => {
  let api: TestApi;
  let token: string;
  beforeEach(async () => {
    const { listener, handled } = createApi(framework, {
      ...kit.options,
      dpop: { origin: proofOrigin, nonce: { secret, maxAge: 300 } },
    });
    api = await serve(createServer(mutualTls(pki), listener), handled);
    token = kit.boundToken({ expiresIn: 3_600, claims: { cnf: { jkt: client.jkt } } });
    return () => api.close();
  });

  async function send(nonce?: string, claims: object = {}) {
    const proof = client.proof(token, { claims: { ...claims, ...(nonce !== undefined && { nonce }) } });
    const { status, body, headers } = await call(pki, api, '/')
      .set('Authorization', `DPoP ${token}`)
      .set('DPoP', proof);
    return { status, error: body.error as unknown, nonce: headers['dpop-nonce'], headers };
  }

  it('R237: a client gets in with the nonce of the first answer, and with no other text', async () => {
    const first = await send();
    expect(first).toMatchObject({
      status: 401,
      error: 'use_dpop_nonce',
      nonce: expect.stringMatching(/^[\w-]{28}$/),
    });
    expect(refused.at(-1)?.refusal.code).toBe('dpop_nonce_required');
    expect(first.headers['www-authenticate']).toMatch(
      /^DPoP realm="api", error="use_dpop_nonce", error_description="[^"]+", algs="[^"]+", Bearer realm="api"$/,
    );
    expect(first.headers['cache-control']).toBe('no-store');
    expect(await send(first.nonce)).toMatchObject({ status: 200, nonce: first.nonce });
    expect(await send('another')).toMatchObject({ status: 401, error: 'use_dpop_nonce' });
  });

  it('a client whose clock is a day wrong gets in', async () => {
    const { nonce } = await send();
    const day = 86_400;
    const now = Math.floor(Date.now() / 1000);
    expect((await send(nonce, { iat: now - day })).status).toBe(200);
    expect((await send(nonce, { iat: now + day })).status).toBe(200);
  });

  it('R237: a client that goes on gets the next nonce with an answer, before its own ends', async () => {
    const { nonce } = await send();
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 101_000 });
    const later = await send(nonce);
    expect(later).toMatchObject({ status: 200, nonce: expect.stringMatching(/^[\w-]{28}$/) });
    expect(later.nonce).not.toBe(nonce);
    expect(await send(later.nonce)).toMatchObject({ status: 200, nonce: later.nonce });
    vi.setSystemTime(Date.now() + 200_000);
    expect(await send(nonce)).toMatchObject({ status: 401, error: 'use_dpop_nonce' });
  });

  it('another process of the fleet knows the nonce', async () => {
    const { nonce } = await send();
    const { listener, handled } = createApi(framework, {
      ...kit.options,
      dpop: { origin: proofOrigin, nonce: { secret: ['o'.repeat(32), secret] } },
    });
    const other = await serve(createServer(mutualTls(pki), listener), handled);
    const own = api;
    api = other;
    try {
      expect((await send(nonce)).status).toBe(200);
    } finally {
      api = own;
      await other.close();
    }
  });

  it('a proof with a nonce is accepted once', async () => {
    const { nonce } = await send();
    const proof = client.proof(token, { claims: { nonce } });
    const again = async () =>
      (await call(pki, api, '/').set('Authorization', `DPoP ${token}`).set('DPoP', proof)).status;
    expect([await again(), await again()]).toEqual([200, 401]);
    expect(refused.at(-1)?.refusal.code).toBe('dpop_proof_replayed');
  });

  it('a request with a certificate needs no nonce', async () => {
    const bound = kit.boundToken();
    const answer = await kit.withCertificate(call(pki, api, '/')).set('Authorization', `Bearer ${bound}`);
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toHaveProperty('dpop-nonce');
  });
});
