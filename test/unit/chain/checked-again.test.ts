// requireActive() may check a request long after its first check: by then an authority may be removed.
import { activeTokenPolicy, ClientCertificate, createResourceServer } from '@mtls-bound/core';
import { afterEach, expect, it, vi } from 'vitest';
import { authority, client } from '../../support/chains.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

afterEach(() => {
  vi.restoreAllMocks();
});

it('requireActive() waits for authorities that are too old, and refuses the client of a removed one', async () => {
  const removed = await authority('CN=Removed');
  const kept = await authority('CN=Kept');
  const { der } = await client('CN=alice', removed);
  const certificate = new ClientCertificate(der);
  let authorities = [removed.cert, kept.cert];
  const resourceServer = createResourceServer(
    optionsOver(
      pretendServer(async () => boundClaims(certificate)),
      certificate,
      { certificatePolicy: { authorities: () => authorities } },
    ),
  );
  const req = requestWith('token');
  const authorization = await resourceServer.authorize(req);
  expect(await outcomeOf(() => resourceServer.require(req, authorization, activeTokenPolicy))).toBe(
    'admitted',
  );

  authorities = [kept.cert];
  const now = Date.now();
  vi.spyOn(Date, 'now').mockImplementation(() => now + 61_000);
  expect(await outcomeOf(() => resourceServer.require(req, authorization, activeTokenPolicy))).toBe(
    'certificate_refused',
  );
  await resourceServer.close();
});
