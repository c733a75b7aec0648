// Several processes on one port, with one memory: what one of them learnt no other asks about, and what is revoked at one
// is refused by all. Redis in between sees nothing but sealed values. SIGTERM ends it without dropping a request.
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import KeyvRedis from '@keyv/redis';
import { createClient } from '@redis/client';
import express from 'express';
import { mtlsBound, redisChannel, redisClaims, requireScopes, revocationEndpoint } from 'express-mtls';
import Keyv from 'keyv';

const { PORT, PROCESSES, REDIS_URL, FLEET_SECRET, TLS_CERT_FILE, TLS_KEY_FILE } = process.env;

if (cluster.isPrimary) {
  const workers = Array.from({ length: Number(PROCESSES ?? 2) }, () => cluster.fork());
  cluster.on('listening', (_worker, { port }) => console.log(`https://127.0.0.1:${port}`));
  process.on('SIGTERM', () => {
    for (const worker of workers) {
      worker.process.kill('SIGTERM');
    }
  });
} else {
  await work();
}

async function work() {
  const redis = await createClient({ url: REDIS_URL }).on('error', console.error).connect();
  const store = new Keyv({ store: new KeyvRedis(redis) });
  const guard = mtlsBound({
    sharedCache: { store, secret: FLEET_SECRET, claims: redisClaims(redis) },
    revocations: { channel: redisChannel(redis), secret: FLEET_SECRET },
  });

  const app = express();
  app.use(guard);
  app.get('/accounts', requireScopes('accounts:read'), (req, res) => {
    res.json({ accounts: [], client: req.auth.clientId, process: process.pid });
  });
  app.post('/revocations', revocationEndpoint('tokens:revoke'));

  const tls = {
    cert: readFileSync(TLS_CERT_FILE),
    key: readFileSync(TLS_KEY_FILE),
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createServer(tls, app).listen(Number(PORT ?? 8443), '127.0.0.1');
  process.on('SIGTERM', () => {
    server.close(async () => {
      await guard.resourceServer.close();
      await redis.close();
      process.disconnect();
    });
    server.closeIdleConnections();
  });
}
