// Uses all that could keep a process alive, closes it, and prints how long the end took. Exits by itself or not at all.
import { createResourceServer } from '@mtls-bound/core';

const { issuer, clientSecret, ca, token, thumbprint } = JSON.parse(process.env.SETTINGS);
const { ClientCertificate } = await import('@mtls-bound/core');
let ended = false;
const server = createResourceServer({
  issuer,
  clientId: 'api',
  clientSecret,
  audience: 'https://api.example.com',
  http: { ca },
  certificate: () => new ClientCertificate({ thumbprint }),
  sharedCache: {
    store: { get: async () => undefined, set: async () => true },
    secret: 'a secret of at least 32 characters',
  },
  revocations: {
    channel: {
      publish: async () => undefined,
      subscribe: async () => async () => {
        ended = true;
      },
    },
    secret: 'a secret of at least 32 characters',
  },
});
const request = (bearer) => ({
  url: '/',
  headers: {},
  rawHeaders: ['Authorization', `Bearer ${bearer}`],
  socket: {},
});
const underWay = server.authorize(request(token));
const closing = server.close();
const refusedAfter = await Promise.resolve()
  .then(() => server.authorize(request('another')))
  .then(
    () => 'admitted',
    (error) => error.code,
  );
const order = [];
await Promise.all([
  Promise.resolve(underWay).then(() => order.push('answered')),
  closing.then(() => order.push('closed')),
]);
const { clientId } = await underWay;
const known = server.authorize(request(token));
process.stdout.write(JSON.stringify({ order, clientId, refusedAfter, ended, known: known.clientId }));
