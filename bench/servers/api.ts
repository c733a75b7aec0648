// One contestant in a process of its own: what one leaves behind in the engine must not slow or speed another.
import { createServer, type RequestListener } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { listen } from '../../test/support/loopback.js';
import { nanosecondsInPlace } from '../contestants/in-place.js';
import type { ApiSetup } from '../contestants/setup.js';
import { whenAsked } from '../harness/child.js';

interface Setup extends ApiSetup {
  readonly framework: 'Express' | 'Koa';
}

whenAsked({
  nanosecondsInPlace,

  async start(setup: Setup) {
    const { tls, ca } = setup;
    const listener = await listenerOf(setup);
    const options = { ...tls, ca, requestCert: true, rejectUnauthorized: false };
    if (setup.http2) {
      return listen(createSecureServer(options, listener as never));
    }
    const server = tls === undefined ? createServer(listener) : createHttpsServer(options, listener);
    // The load stops for as long as the other contestants have their turn.
    server.keepAliveTimeout = 600_000;
    return listen(server);
  },
});

/** Imported when chosen: a contestant carries nothing of the other framework. */
async function listenerOf(setup: Setup): Promise<RequestListener> {
  if (setup.framework === 'Koa') {
    const { koaContestant } = await import('../contestants/koa.js');
    return (await koaContestant(setup)).callback();
  }
  const { expressContestant } = await import('../contestants/express.js');
  return expressContestant(setup);
}
