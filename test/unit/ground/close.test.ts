// What ends a resource server does not need a Promise with every method of today.
import { createRequire } from 'node:module';
import { setTimeout } from 'node:timers/promises';
import { createResourceServer } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, expect, it, vi } from 'vitest';
import {
  boundClaims,
  gate,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const require = createRequire(import.meta.url);
afterEach(() => {
  vi.unstubAllGlobals();
});

it('close() waits for the introspection under way where Promise has no allSettled', async () => {
  const { certificate } = await createTestKit();
  const asked = gate();
  const answered = gate();
  const authorizationServer = pretendServer(async () => {
    asked.open();
    await answered.opened;
    return boundClaims(certificate);
  });
  const server = createResourceServer(optionsOver(authorizationServer, certificate));
  const { Promise: Replaced } = require('es6-promise');
  expect(Replaced.allSettled).toBeUndefined();
  vi.stubGlobal('Promise', Replaced);
  const order: string[] = [];
  const admitted = outcomeOf(() => server.authorize(requestWith('token'))).then((outcome) =>
    order.push(outcome),
  );
  await asked.opened;
  const closed = server.close().then(() => order.push('closed'));
  await setTimeout(20);
  order.push('answered');
  answered.open();
  await admitted;
  await closed;
  expect(order[0]).toBe('answered');
  expect(order.slice(1).toSorted()).toEqual(['admitted', 'closed']);
});
