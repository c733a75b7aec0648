import type { ClientRequest } from 'node:http';
import type { Agent } from 'node:https';
import { expect, it } from 'vitest';
import { createPool } from '../../../packages/core/src/authorization-server/pool.js';

const ca = '-----BEGIN CERTIFICATE-----';

function agentOf(pool: ReturnType<typeof createPool>, identity?: { cert: string; key: string }): Agent {
  return pool.start(identity, (agent) => agent).result;
}

it('uses the connection first that was used last, and trusts nothing but http.ca', () => {
  const { options } = agentOf(createPool(ca, undefined));
  expect(options).toMatchObject({ scheduling: 'lifo', keepAlive: true, rejectUnauthorized: true, ca });
});

it('names connections by host, port and server name, without certificates', () => {
  const agent = agentOf(createPool(ca, undefined));
  const name = (changes: object) =>
    agent.getName({ host: 'as.example.com', port: 443, servername: 'as.example.com', ...changes });
  expect(name({})).toBe('as.example.com:443:as.example.com');
  const others = [{ host: 'other.example.com' }, { port: 8443 }, { servername: 'other.example.com' }];
  expect(new Set([name({}), ...others.map(name)]).size).toBe(4);
});

it('an exchange with another certificate of ours has another agent', () => {
  const pool = createPool(ca, undefined);
  const [first, second] = [
    { cert: 'a', key: 'b' },
    { cert: 'c', key: 'd' },
  ];
  const agent = agentOf(pool, first);
  expect(agentOf(pool, first)).toBe(agent);
  expect(agentOf(pool, second)).not.toBe(agent);
});

it('each exchange knows its own request, also where several are under way', () => {
  const pool = createPool(ca, undefined);
  const start = (reusedSocket: boolean) => {
    const request = { reusedSocket, destroyed: false, destroy: () => undefined };
    return pool.start(undefined, (agent) => {
      // Fails, as there is no such request; the exchange has it all the same.
      const { addRequest } = agent as unknown as {
        addRequest(request: ClientRequest, options: object): void;
      };
      expect(() => addRequest.call(agent, request as never, { host: 'localhost', port: 1 })).toThrow();
    });
  };
  const [reused, fresh] = [start(true), start(false)];
  expect([reused.wasReused(), fresh.wasReused()]).toEqual([true, false]);
  expect(reused.trouble()?.code).toBe('internal_error');
});

it('an exchange without a request was not reused, and can be ended', () => {
  const exchange = createPool(ca, undefined).start(undefined, () => 'nothing sent');
  exchange.abort();
  expect([exchange.result, exchange.wasReused(), exchange.trouble()]).toEqual([
    'nothing sent',
    false,
    undefined,
  ]);
});
