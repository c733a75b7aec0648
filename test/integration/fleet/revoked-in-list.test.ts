// A client certificate that its authority revokes: each process of a fleet refuses it once it has read the new list.
import { expect, it } from 'vitest';
import { startListedFleet } from '../../support/listed-fleet.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();

/** Seconds: the shortest that the option accepts. A list in a file is looked at every 5 seconds. */
const refreshInterval = 10;

/** Seconds that a busy machine may take in addition. */
const allowance = 20;

it.each([
  ['server', refreshInterval],
  ['file', 5],
] as const)(
  'refuses a certificate in 8 processes within the interval after the list of a %s names it',
  async (by, interval) => {
    const fleet = await startListedFleet(pki, server, { size: 8, by, refreshInterval });
    try {
      const [revoked, good] = [await fleet.acceptedClient(), await fleet.acceptedClient()];
      const { statuses, acceptedAfterwards } = await fleet.revoke(revoked, interval + allowance);
      expect(statuses).toEqual(Array.from({ length: 8 }, () => 403));
      expect(acceptedAfterwards).toBe(0);
      expect(await fleet.statusesOf(good)).toEqual(Array.from({ length: 8 }, () => 200));
    } finally {
      await fleet.close();
    }
  },
  90_000,
);
