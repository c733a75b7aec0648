// All code of an application holds `req.auth`, each middleware of a third party too. By it, that code must neither
// read the access token, nor change what later guards see, nor make an Authorization that is accepted.
import {
  type Authorization,
  ClientCertificate,
  createResourceServer,
  type NodeRequest,
  type ResourceServer,
} from '@mtls-bound/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authority, client } from '../../support/chains.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const token = 'the-text-of-an-access-token';
const { der } = await client('CN=alice', await authority('CN=Root'));
const certificate = new ClientCertificate(der);

let resourceServer: ResourceServer;
let req: NodeRequest;
let authorization: Authorization;
beforeAll(async () => {
  const pretend = pretendServer(async () => boundClaims(certificate));
  resourceServer = createResourceServer(optionsOver(pretend, certificate));
  req = requestWith(token);
  authorization = (await resourceServer.authorize(req)) as Authorization;
});
afterAll(() => resourceServer.close());

/** Each value that a program finds from `start` on, by members, getters and prototypes. */
function reachableFrom(start: unknown): Set<unknown> {
  const found = new Set<unknown>([start]);
  for (const value of found) {
    if ((typeof value === 'object' && value !== null) || typeof value === 'function') {
      for (let owner: object | null = value; owner !== null; owner = Object.getPrototypeOf(owner)) {
        found.add(owner);
        for (const key of Reflect.ownKeys(owner)) {
          found.add(Object.getOwnPropertyDescriptor(owner, key)?.get);
          try {
            found.add((value as Record<PropertyKey, unknown>)[key]);
          } catch {
            // A getter throws for a prototype.
          }
        }
      }
    }
  }
  return found;
}

it('its class has no functions but the getter of the signal', () => {
  const made = authorization.constructor;
  expect(Reflect.ownKeys(made).sort()).toEqual(['length', 'name', 'prototype']);
  expect(Reflect.ownKeys(made.prototype).sort()).toEqual(['constructor', 'signal']);
  expect(Object.getPrototypeOf(made)).toBe(Function.prototype);
  expect(Object.isFrozen(authorization)).toBe(true);
});

it('no member of it leads to the access token, to its request or to the resource server', () => {
  const { signal } = authorization;
  const found = reachableFrom(authorization);
  expect(found.has(signal)).toBe(true);
  expect([...found].filter((value) => typeof value === 'string' && value.includes(token))).toEqual([]);
  expect(found.has(req)).toBe(false);
  expect(found.has(resourceServer)).toBe(false);
});

describe('is not accepted for the request:', () => {
  type Make = new (...given: unknown[]) => Authorization;

  function forge(Class: Make, registry: unknown): Authorization {
    const { issuer, claims } = authorization;
    const tokenClaims = { issuer, claims, subject: 'admin', clientId: 'alice', scopes: ['admin'] };
    const presented = { req, token, hash: 'hash', server: {} };
    return new Class(tokenClaims, certificate, true, undefined, registry, presented, 1_000_000);
  }
  const signals = {
    of: () => new AbortController().signal,
    follow: () => undefined,
    findRevokedSince: () => undefined,
    findReceivedSince: () => undefined,
  };
  const own = () => authorization.constructor as unknown as Make;

  it.each<[string, () => unknown]>([
    ['one that its constructor makes', () => forge(own(), signals)],
    ['one that its constructor makes with the resource server', () => forge(own(), resourceServer)],
    ['one that its constructor makes without a resource server', () => forge(own(), undefined)],
    ['one of a subclass', () => forge(class extends own() {}, signals)],
    ['an object that inherits from it', () => Object.create(authorization)],
    ['a copy with its prototype', () => Object.setPrototypeOf({ ...authorization }, own().prototype)],
    ['a proxy of it', () => new Proxy(authorization, {})],
  ])('%s', async (_title, make) => {
    const forged = make();
    expect(resourceServer.isOwnAuthorization(req, forged)).toBe(false);
    expect(() => resourceServer.requireOwnAuthorization(req, forged)).toThrow('was not made for it');
    expect(await outcomeOf(() => resourceServer.require(req, forged, () => undefined))).toBe(
      'internal_error',
    );
    expect(resourceServer.isOwnAuthorization(req, authorization)).toBe(true);
  });
});
