// Authorities that can't be had, or that are slow to come, concern requests that have a certificate, and no others.
import { ClientCertificate, createResourceServer, routeCertificatePolicy } from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { authority, client } from '../../support/chains.js';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const root = await authority('CN=Root');
const certificate = new ClientCertificate((await client('CN=alice', root)).der);
const phone = dpopClient();

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

const byKey = { cnf: { jkt: phone.jkt } };
const byBoth = { cnf: { jkt: phone.jkt, 'x5t#S256': certificate.thumbprint } };
const byCertificate = {};
const unbound = { cnf: undefined };

function start(
  claims: Record<string, unknown>,
  shown: ClientCertificate | undefined,
  binding: 'required' | 'when-bound' | 'report',
  authorities: () => Promise<string>,
) {
  return createResourceServer(
    optionsOver(
      pretendServer(async (token) =>
        token === 'token' ? boundClaims(certificate, claims) : { active: false },
      ),
      shown,
      { binding, dpop: { origin: proofOrigin }, certificatePolicy: { authorities } },
    ),
  );
}

const requests = {
  proven: () => requestWith(undefined, { authorization: 'DPoP token', dpop: phone.proof('token') }),
  plain: () => requestWith('token'),
};

/** Rejects, as a vault that is down. */
const failing = () => Promise.reject(new Error('the vault is down'));
/** Never settles. */
const hanging = () => new Promise<string>(() => undefined);

type Case = [
  what: string,
  binding: 'required' | 'when-bound' | 'report',
  request: keyof typeof requests,
  claims: Record<string, unknown>,
  expected: string,
];

describe.each([
  ['fail', failing],
  ['never come', hanging],
])('authorities that %s', (_, authorities) => {
  it.each<Case>([
    ['a proof of a key', 'required', 'proven', byKey, 'admitted'],
    ['a proof of a key', 'when-bound', 'proven', byKey, 'admitted'],
    ['a proof of a key', 'report', 'proven', byKey, 'admitted'],
    ['no proof', 'report', 'plain', byKey, 'admitted'],
    ['a token that is bound to nothing', 'report', 'plain', unbound, 'admitted'],
    ['a token that is bound to a certificate', 'report', 'plain', byCertificate, 'admitted'],
    ['a token that is bound to nothing', 'when-bound', 'plain', unbound, 'certificate_missing'],
    ['a proof, and a token that is bound to both', 'required', 'proven', byBoth, 'certificate_missing'],
  ])(
    'do not concern a request without a certificate: %s, binding %s',
    async (...[, binding, kind, claims, expected]) => {
      const server = start(claims, undefined, binding, authorities);
      expect(await outcomeOf(() => server.authorize(requests[kind]()))).toBe(expected);
      // The token is cached now.
      expect(await outcomeOf(() => server.authorize(requests[kind]()))).toBe(expected);
      await server.close();
    },
  );
});

it.each<Case>([
  ['the certificate', 'required', 'plain', byCertificate, 'internal_error'],
  ['the certificate', 'report', 'plain', byCertificate, 'internal_error'],
  ['the certificate and the key', 'required', 'proven', byBoth, 'internal_error'],
  ['the key alone', 'required', 'proven', byKey, 'internal_error'],
  ['nothing', 'when-bound', 'plain', unbound, 'internal_error'],
])(
  'authorities that fail refuse a request with a certificate: its token is bound to %s, binding %s',
  async (...[, binding, kind, claims, expected]) => {
    const server = start(claims, certificate, binding, failing);
    expect(await outcomeOf(() => server.authorize(requests[kind]()))).toBe(expected);
    expect(await outcomeOf(() => server.authorize(requests[kind]()))).toBe(expected);
    await server.close();
  },
);

it('ready() waits for authorities and fails without them, whatever clients use the API', async () => {
  let fails = true;
  const server = start(byKey, undefined, 'required', async () => (fails ? failing() : root.cert));
  await expect(server.ready()).rejects.toMatchObject({ code: 'internal_error' });
  fails = false;
  await expect(server.ready()).resolves.toBeUndefined();
  await server.close();
});

it('a guard with authorities that fail refuses a request without a certificate as such', async () => {
  const server = start(byKey, undefined, 'required', async () => root.cert);
  const req = requests.proven();
  const authorization = await server.authorize(req);
  const guard = routeCertificatePolicy({ authorities: failing });
  expect(await outcomeOf(() => server.require(req, authorization, guard))).toBe('certificate_missing');
  await server.close();
});

it('a rejected token costs no look at the authorities, whatever certificate comes with it', async () => {
  const authorities = vi.fn(hanging);
  const server = start(unbound, certificate, 'when-bound', authorities);
  authorities.mockClear();
  for (let request = 0; request < 2; request += 1) {
    expect(await outcomeOf(() => server.authorize(requestWith('inactive')))).toBe('token_inactive');
  }
  expect(authorities).not.toHaveBeenCalled();
  await server.close();
});

it('a token of another certificate costs no look at the authorities', async () => {
  const authorities = vi.fn(hanging);
  const other = { cnf: { 'x5t#S256': 'B'.repeat(43) } };
  const server = start(other, certificate, 'required', authorities);
  authorities.mockClear();
  for (let request = 0; request < 2; request += 1) {
    expect(await outcomeOf(() => server.authorize(requests.plain()))).toBe('certificate_mismatch');
  }
  expect(authorities).not.toHaveBeenCalled();
  await server.close();
});
