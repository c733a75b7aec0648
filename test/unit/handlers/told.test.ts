// What a handler is told is of its own request: the certificate, whether the token is bound to it, and whose token it is.
import {
  type Authorization,
  type ClientCertificate,
  createResourceServer,
  type NodeRequest,
  type ResourceServerOptions,
  readTokenClaims,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it, vi } from 'vitest';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

/** The certificate that a request presents, by a header of the test. */
const presented = (req: NodeRequest): ClientCertificate | undefined =>
  ({ own: kit.certificate, other: kit.otherCertificate })[String(req.headers['x-client'])];

const certificates = ['own', 'other', 'none'] as const;
const bindings = {
  'the token of the certificate': () => boundClaims(kit.certificate),
  'the token of another certificate': () => boundClaims(kit.otherCertificate),
  'a token that is bound to nothing': () => boundClaims(kit.certificate, { cnf: undefined }),
  'a token that is bound by another method': () => boundClaims(kit.certificate, { cnf: { jkt: 'x' } }),
} satisfies Record<string, () => object>;

function deciding(claims: () => object, more: ResourceServerOptions) {
  const server = pretendServer(claims);
  const resourceServer = createResourceServer(
    optionsOver(server, undefined, { ...more, certificate: presented }),
  );
  return async (client: string) => resourceServer.authorize(requestWith('token', { 'x-client': client }));
}

describe.each(Object.entries(bindings))("binding: 'report', %s", (title, claims) => {
  it.each(certificates)(
    'with the certificate "%s": isBound says whether the two belong together',
    async (client) => {
      const decide = deciding(claims, { binding: 'report' });
      const belongs =
        (title === 'the token of the certificate' && client === 'own') ||
        (title === 'the token of another certificate' && client === 'other');
      // First asked about, then known.
      for (let i = 0; i < 2; i += 1) {
        const authorization = await decide(client);
        expect(authorization?.isBound).toBe(belongs);
        expect(authorization?.certificate).toBe(presented(requestWith('', { 'x-client': client })));
      }
    },
  );
});

it("binding: 'when-bound': isBound says so of a bound token alone", async () => {
  const bound = deciding(() => boundClaims(kit.certificate), { binding: 'when-bound' });
  expect((await bound('own'))?.isBound).toBe(true);
  const unbound = deciding(() => boundClaims(kit.certificate, { cnf: undefined }), { binding: 'when-bound' });
  for (const client of certificates) {
    expect((await unbound(client))?.isBound).toBe(false);
  }
});

it("binding: 'report', a policy that the certificate does not meet: isBound speaks of the binding alone", async () => {
  const decide = deciding(() => boundClaims(kit.certificate), {
    binding: 'report',
    certificatePolicy: { subject: 'CN=of another' },
  });
  expect((await decide('own'))?.isBound).toBe(true);
  expect((await decide('other'))?.isBound).toBe(false);
});

it.each<[string, ResourceServerOptions]>([
  ["'report'", { binding: 'report' }],
  ["'when-bound'", { binding: 'when-bound' }],
])(
  'binding: %s: one cached token, several clients: each request is told of its own certificate',
  async (_title, more) => {
    const decide = deciding(() => boundClaims(kit.certificate, { cnf: undefined }), more);
    const told = [];
    for (const client of ['own', 'other', 'none', 'own']) {
      told.push((await decide(client))?.certificate?.thumbprint);
    }
    expect(told).toEqual([
      kit.certificate.thumbprint,
      kit.otherCertificate.thumbprint,
      undefined,
      kit.certificate.thumbprint,
    ]);
  },
);

it('each request has an Authorization of its own, and what a handler does to one changes no other', async () => {
  const decide = deciding(() => boundClaims(kit.certificate, { scope: 'a b', rights: { of: ['x'] } }), {});
  const first = await decide('own');
  const [second, third] = [await decide('own'), await decide('own')];
  expect(new Set([first, second, third]).size).toBe(3);
  for (const change of [
    () => Object.assign(second as object, { clientId: 'mallory' }),
    () => ((second as Authorization).scopes as string[]).push('c'),
    () => Object.assign(second?.claims as object, { sub: 'mallory' }),
    () => ((second as Authorization).claims as { rights: { of: string[] } }).rights.of.push('y'),
  ]) {
    expect(change).toThrow(TypeError);
  }
  second?.expiresAt?.setTime(0);
  const fourth = await decide('own');
  expect(fourth?.expiresAt?.getTime()).toBe(third?.expiresAt?.getTime());
  expect(fourth?.expiresAt?.getTime()).toBeGreaterThan(Date.now());
  expect(fourth).toMatchObject({ clientId: 'alice', subject: 'user-1', scopes: ['a', 'b'] });
});

it('a token source of the user gives the same claims again: each request is told of its own certificate all the same', async () => {
  const { issuer } = kit.options;
  const claims = readTokenClaims(
    { ...boundClaims(kit.certificate), iss: issuer, cnf: undefined } as never,
    issuer,
  );
  const resourceServer = createResourceServer({
    ...kit.options,
    audience: 'https://api.example.com',
    tokens: () => async () => claims,
    certificate: presented,
    binding: 'when-bound',
  });
  const told = [];
  for (const client of ['own', 'other']) {
    const authorization = await resourceServer.authorize(requestWith('token', { 'x-client': client }));
    told.push(authorization?.certificate?.thumbprint);
  }
  expect(told).toEqual([kit.certificate.thumbprint, kit.otherCertificate.thumbprint]);
});
