// One process of a fleet that accepts DPoP proofs and records them in Redis. Its parent sends it requests in batches, and
// gets the outcome of each.
import { createClient } from '@redis/client';
import { redisProofs } from 'koa-mtls';
import { dpopApi } from './dpop-api.mjs';

const [framework, url] = process.argv.slice(2);
const client = await createClient({ url }).connect();
// A busy machine is late: that is no reason to refuse a proof.
const { send, close } = dpopApi(framework, { store: redisProofs(client), timeout: 5 });

// A parent that is gone can't ask it to end.
process.on('disconnect', () => process.exit());

process.on('message', async (batch) => {
  if (batch !== 'close') {
    process.send(await Promise.all(batch.map(([token, proof]) => send(token, proof))));
    return;
  }
  await close();
  await client.close();
  process.removeAllListeners('disconnect');
  process.disconnect();
});
process.send('ready');
