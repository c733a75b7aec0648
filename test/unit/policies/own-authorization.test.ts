// A resource server knows what it made for a request, and what it let pass without credentials.
import {
  type Authorization,
  createResourceServer,
  type NodeRequest,
  type ProblemEvent,
  type ResourceServer,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { replaceAuthorization } from '../../../packages/core/src/authorization.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

const options = (more: ResourceServerOptions = {}) =>
  optionsOver(
    pretendServer(() => boundClaims(kit.certificate)),
    kit.certificate,
    more,
  );

let server: ResourceServer;
let req: NodeRequest;
beforeEach(() => {
  server = createResourceServer(options());
  req = requestWith('token');
});

it.each<[string, () => Promise<unknown>]>([
  [
    'of another resource server, for the same request',
    async () => createResourceServer(options()).authorize(req),
  ],
  ['of its own, for another request', async () => server.authorize(requestWith('token'))],
  ['that is none', async () => undefined],
])('a resource server confirms no Authorization %s', async (_title, given) => {
  const authorization = await given();
  expect(server.isOwnAuthorization(req, authorization)).toBe(false);
  expect(await outcomeOf(() => server.requireOwnAuthorization(req, authorization))).toBe('internal_error');
  expect(await outcomeOf(() => server.require(req, authorization, () => undefined))).toBe('internal_error');
  const outside =
    'a guard of a route ran on a request that this mtlsBound() did not accept, or on another req.auth';
  expect(problems.at(-1)?.message).toContain(outside);
  const own = await server.authorize(req);
  expect(server.requireOwnAuthorization(req, own)).toBe(own);
});

it.each<[string, () => unknown]>([
  ['another request', () => server.authorize(requestWith('token'))],
  ['another resource server', () => createResourceServer(options()).authorize(req)],
])('no Authorization of %s takes the place of that of a request', async (_title, make) => {
  const own = (await server.authorize(req)) as Authorization;
  const other = (await make()) as Authorization;
  expect(() => replaceAuthorization(own, other)).toThrow(
    'an Authorization can only be replaced by one for the same request',
  );
  expect(server.require(req, own, () => undefined)).toBe(own);
});

describe("credentials: 'optional'", () => {
  const accept = () => undefined;
  const optional = () => createResourceServer(options({ credentials: 'optional' }));

  it('a request without credentials passes without an Authorization, and no guard accepts it', async () => {
    const open = optional();
    const anonymous = requestWith(undefined);
    expect(open.authorize(anonymous)).toBeUndefined();
    expect(open.requireOwnAuthorization(anonymous, undefined)).toBeUndefined();
    expect(await outcomeOf(() => open.require(anonymous, undefined, accept))).toBe('credentials_missing');
  });

  it.each<[string, () => NodeRequest]>([
    ['that this resource server never saw', () => requestWith(undefined)],
    [
      'that another resource server let pass',
      () => {
        const seen = requestWith(undefined);
        optional().authorize(seen);
        return seen;
      },
    ],
  ])('a request without credentials %s passes nowhere', async (_title, make) => {
    const open = optional();
    const unseen = make();
    expect(await outcomeOf(() => open.requireOwnAuthorization(unseen, undefined))).toBe('internal_error');
    expect(await outcomeOf(() => open.require(unseen, undefined, accept))).toBe('internal_error');
  });

  it.each([[null], [{}], ['alice']])(
    '%j is no Authorization of a request without credentials',
    async (given) => {
      const open = optional();
      const anonymous = requestWith(undefined);
      open.authorize(anonymous);
      expect(await outcomeOf(() => open.requireOwnAuthorization(anonymous, given))).toBe('internal_error');
      expect(await outcomeOf(() => open.require(anonymous, given, accept))).toBe('internal_error');
    },
  );

  it.each([
    ['malformed', requestWith('a b'), 'credentials_malformed'],
    ['of another scheme', requestWith(undefined, { authorization: 'Basic YTpi' }), 'anonymous'],
  ])('credentials that are %s', async (_title, given, expected) => {
    expect(await outcomeOf(() => optional().authorize(given))).toBe(expected);
  });

  it('without it a request without credentials is refused', async () => {
    expect(await outcomeOf(() => server.authorize(requestWith(undefined)))).toBe('credentials_missing');
  });
});
