// How long a certificate that its authority has revoked is accepted in eight processes: from the new revocation list to
// the refusal in the last of them. Each process is asked every 5 ms, and once more behind its refusal.
import { setTimeout as sleep } from 'node:timers/promises';
import { startFaultyServer } from '../test/support/faulty-server.js';
import { type ListedFleetOptions, startListedFleet } from '../test/support/listed-fleet.js';
import { createPki } from '../test/support/pki.js';
import { closeScenario } from './harness/close.js';
import { progress, progressEnds } from './harness/progress.js';
import { summaryOf } from './harness/record.js';
import { isQuick } from './harness/settings.js';

console.info = console.warn = () => undefined;
const processes = isQuick ? 2 : 8;
const rounds = isQuick ? 1 : 7;
/** Seconds: the shortest `refreshInterval`, and the time between two looks at a file. */
const intervals = { server: 10, file: 5 };

const pki = await createPki();
const server = await startFaultyServer(pki);
let acceptedAfterwards = 0;

/** Seconds of each round. */
async function measured(by: ListedFleetOptions['by']): Promise<number[]> {
  const fleet = await startListedFleet(pki, server, { size: processes, by, refreshInterval: 10 });
  const samples: number[] = [];
  try {
    for (let round = 0; round < rounds; round += 1) {
      const client = await fleet.acceptedClient();
      // The processes refresh in turn: a list can be published at any moment between.
      await sleep(Math.random() * 1_000 * (isQuick ? 0 : intervals[by]));
      const revoked = await fleet.revoke(client, 60);
      if (revoked.statuses.some((status) => status !== 403)) {
        throw new Error(`each process should have refused it: ${revoked.statuses}`);
      }
      acceptedAfterwards += revoked.acceptedAfterwards;
      samples.push(revoked.milliseconds / 1_000);
      progress(`${by}: ${round + 1} of ${rounds}`);
    }
    return samples;
  } finally {
    progressEnds();
    await fleet.close();
  }
}

const times = { server: await measured('server'), file: await measured('file') };
await server.close();
const shareOf = (by: ListedFleetOptions['by']) => ({
  ...summaryOf(times[by].map((time) => time / intervals[by])),
  goal: { max: 1.1 },
});
closeScenario({
  scenario: 'revocation-list',
  unit: 's from the new list to refusal in every process',
  rounds,
  contestants: {
    'the list of a server, refreshInterval: 10': summaryOf(times.server),
    'the list of a file': summaryOf(times.file),
  },
  ratios: {
    'time / refreshInterval of 10 s': shareOf('server'),
    'time / 5 s between two looks at a file': shareOf('file'),
    'requests accepted afterwards': { ...summaryOf([acceptedAfterwards]), goal: { max: 0 } },
  },
});
