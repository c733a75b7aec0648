// The cached path over HTTP/2 in Koa, where Node ends mutual TLS.
import { runComparison } from './harness/comparison.js';

await runComparison({
  scenario: 'http2-koa',
  framework: 'Koa',
  contestants: ['bare Koa', 'the floor', 'koa-mtls'],
  more: ({ cast }) => ({ tls: cast.pki.server, http2: true }),
  load({ cast }) {
    const [client] = cast.clients as [(typeof cast.clients)[number]];
    return {
      headers: client.opaqueTokens.map((token) => ({ authorization: `Bearer ${token}` })),
      identity: client.identity,
      connections: 4,
      streams: 8,
    };
  },
  ratios: [['koa-mtls', 'the floor', { max: 1.1 }]],
});
