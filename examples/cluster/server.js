// Several processes on one port, with one memory: what one of them learnt no other asks about, and what is revoked at one
// is refused by all. Redis in between sees nothing but sealed values. The program starts without Redis, replaces a worker
// that dies, and ends at SIGTERM: requests under way are answered, and no client can hold the end up.
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import KeyvRedis, { createClient } from '@keyv/redis';
import express from 'express';
import { mtlsBound, redisLock, redisLog, requireScopes, revocationEndpoint } from 'express-mtls';
import Keyv from 'keyv';

const { PORT, PROCESSES, REDIS_URL, FLEET_SECRET, TLS_CERT_FILE, TLS_KEY_FILE, END_WITHIN, CLOCK_TOLERANCE } =
  process.env;

/** Milliseconds that requests under way have to finish after SIGTERM. */
const endWithin = Number(END_WITHIN ?? 10_000);

if (cluster.isPrimary) {
  supervise(Number(PROCESSES ?? 2));
} else {
  work();
}

/**
 * Keeps so many workers running: a worker that dies is replaced, after a growing delay where workers die young. Where none gets as
 * far as to listen, the program ends with exit code 1, so that a service manager sees it.
 */
function supervise(count) {
  let ending = false;
  let sinceListening = 0;
  let young = 0;
  const births = new Map();
  const timers = new Set();
  const fork = () => births.set(cluster.fork().id, Date.now());
  const end = () => {
    ending = true;
    for (const timer of timers) {
      clearTimeout(timer);
    }
    for (const worker of Object.values(cluster.workers)) {
      worker.process.kill('SIGTERM');
    }
    // A worker that does not end by itself is killed. The timer keeps no process alive.
    const kill = () => {
      for (const worker of Object.values(cluster.workers)) {
        console.error(`worker ${worker.process.pid} did not end by itself; it is killed`);
        worker.process.kill('SIGKILL');
      }
    };
    setTimeout(kill, endWithin + 10_000).unref();
  };
  cluster.on('listening', (_worker, { port }) => {
    sinceListening = 0;
    console.log(`https://127.0.0.1:${port}`);
  });
  cluster.on('exit', (worker, code, signal) => {
    if (ending) {
      return;
    }
    sinceListening += 1;
    young = Date.now() - births.get(worker.id) < 10_000 ? young + 1 : 0;
    births.delete(worker.id);
    console.error(`worker ${worker.process.pid} ended by ${signal ?? `exit code ${code}`}`);
    if (sinceListening > 5) {
      console.error('the workers die before they listen; the program ends');
      process.exitCode = 1;
      end();
      return;
    }
    const replace = () => {
      timers.delete(timer);
      fork();
    };
    const timer = setTimeout(replace, Math.min(100 * 2 ** young, 5_000));
    timers.add(timer);
  });
  process.on('SIGTERM', end);
  for (let i = 0; i < count; i += 1) {
    fork();
  }
}

function work() {
  const redis = createClient({ url: REDIS_URL, disableOfflineQueue: true }).on('error', (error) =>
    console.error(error.message),
  );
  // Not awaited: while Redis is away, each process introspects by itself. The client goes on trying.
  redis.connect().catch((error) => console.error(error.message));
  const store = new Keyv({ store: new KeyvRedis(redis) });
  const mtls = mtlsBound({
    // Seconds by which clocks differ. For so long after the log began, a process uses no answer of another one.
    clockTolerance: Number(CLOCK_TOLERANCE ?? 30),
    sharedCache: { store, secret: FLEET_SECRET, lock: redisLock(redis) },
    revocations: { log: redisLog(redis), secret: FLEET_SECRET },
  });

  const app = express();
  app.use(mtls);
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

  process.once('SIGTERM', async () => {
    try {
      // A request that a client has sent by half holds up close() without limit.
      await Promise.race([new Promise((resolve) => server.close(resolve)), wait(endWithin)]);
      server.closeAllConnections(); // Before mtls.close(): after it no revocation is received.
      await Promise.race([mtls.close(), wait(5_000)]);
    } finally {
      // A connection to Redis, or one that is still being tried, would keep the process running.
      process.exit();
    }
  });
}
