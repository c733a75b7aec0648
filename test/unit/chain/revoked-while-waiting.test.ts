// A certificate policy may have a request wait, for authorities or for a list. The token may be revoked meanwhile.
import {
  activeTokenPolicy,
  ClientCertificate,
  createResourceServer,
  type ResourceServer,
  type Revocation,
} from '@mtls-bound/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { authority, client } from '../../support/chains.js';
import {
  boundClaims,
  gate,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const root = await authority('CN=Root');
const { der } = await client('CN=alice', root);
const certificate = new ClientCertificate(der);

afterEach(() => {
  vi.restoreAllMocks();
});

/** A resource server whose certificate policy waits, from a call of `hold()` to a call of `open()`. */
function start() {
  let reading = { opened: Promise.resolve(), open: (): void => undefined };
  const begun = vi.fn();
  const now = Date.now();
  let later = 0;
  vi.spyOn(Date, 'now').mockImplementation(() => now + later);
  const resourceServer = createResourceServer(
    optionsOver(
      pretendServer(async () => boundClaims(certificate)),
      certificate,
      {
        cache: { maxAge: 300 },
        certificatePolicy: {
          authorities: async () => {
            begun();
            await reading.opened;
            return root.cert;
          },
        },
      },
    ),
  );
  return {
    resourceServer,
    hold() {
      // From then on requests wait for the function.
      later += 61_000;
      reading = gate();
      begun.mockClear();
    },
    open: () => reading.open(),
    isWaiting: () => vi.waitFor(() => expect(begun).toHaveBeenCalled()),
  };
}

/** The ways in which a token is checked. Each returns the check that waits. */
const checks: Record<string, (resourceServer: ResourceServer, hold: () => void) => Promise<() => unknown>> = {
  async 'a token that is cached'(resourceServer, hold) {
    await resourceServer.authorize(requestWith('token'));
    hold();
    return () => resourceServer.authorize(requestWith('token'));
  },
  async 'a token that is not cached'(resourceServer, hold) {
    await resourceServer.authorize(requestWith('another-token'));
    hold();
    return () => resourceServer.authorize(requestWith('token'));
  },
  async 'requireActive()'(resourceServer, hold) {
    const req = requestWith('token');
    const authorization = await resourceServer.authorize(req);
    hold();
    return () => resourceServer.require(req, authorization, activeTokenPolicy);
  },
};

const revocations: [string, Revocation, string][] = [
  ['the token', { token: 'token' }, 'token_inactive'],
  ['its subject', { subject: 'user-1' }, 'token_inactive'],
  ['its client', { clientId: 'alice' }, 'token_inactive'],
  ['its certificate', { thumbprint: certificate.thumbprint }, 'token_inactive'],
  ['another subject', { subject: 'user-2' }, 'admitted'],
];

describe.each(Object.entries(checks))('%s waits for the certificate policy', (_title, prepare) => {
  it.each(revocations)('%s is revoked meanwhile', async (_what, revocation, expected) => {
    const { resourceServer, hold, open, isWaiting } = start();
    const check = await prepare(resourceServer, hold);
    const outcome = outcomeOf(check);
    await isWaiting();
    await resourceServer.revoke(revocation);
    open();
    expect(await outcome).toBe(expected);
    await resourceServer.close();
  });
});
