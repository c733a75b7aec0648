// Values that a looser comparison would take for the required one: parts, prefixes, patterns, other cases and types.
import {
  anyScopePolicy,
  authenticationPolicy,
  authorizationDetailsPolicy,
  claimsPolicy,
  createResourceServer,
  type ResourceServerOptions,
  type RoutePolicy,
  scopesPolicy,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it, vi } from 'vitest';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

async function outcomeWith(
  claims: Record<string, unknown>,
  policy: RoutePolicy = () => undefined,
  more: ResourceServerOptions = {},
): Promise<string> {
  const server = pretendServer(() => boundClaims(kit.certificate, claims));
  const resourceServer = createResourceServer(optionsOver(server, kit.certificate, more));
  const req = requestWith('token');
  return outcomeOf(async () => {
    const authorization = await resourceServer.authorize(req);
    await resourceServer.require(req, authorization, policy);
    return authorization;
  });
}

describe.each<[string, (scope: string) => RoutePolicy]>([
  ['requireScopes()', (scope) => scopesPolicy([scope])],
  ['requireAnyScope()', (scope) => anyScopePolicy([scope])],
])('%s compares whole scopes', (_title, requiring) => {
  it.each<[string, string]>([
    ['accounts:read', 'accounts:read'],
    ['accounts:read', 'payments:write accounts:read'],
    ['accounts:read', 'accounts:read payments:write'],
  ])('%s is granted by "%s"', async (required, scope) => {
    expect(await outcomeWith({ scope }, requiring(required))).toBe('admitted');
  });

  it.each<[string, unknown]>([
    ['read', 'accounts:read'],
    ['accounts', 'accounts:read'],
    ['accounts:read', 'accounts:read-only'],
    ['accounts:read', 'my-accounts:read'],
    ['accounts:read', 'accounts'],
    ['accounts:read', 'accounts:'],
    ['accounts:read', 'accounts:*'],
    ['accounts:read', '*'],
    ['accounts:read', 'Accounts:Read'],
    ['accounts:read', 'accounts:write accounts:rea'],
    ['accounts:read', 'accounts read'],
    ['accounts:read', 'accounts:read,payments:write'],
    ['accounts:read', 'accounts.read'],
    ['accounts:*', 'accounts:read'],
    ['*', 'accounts:read'],
    ['.*', 'accounts:read'],
    ['accounts.read', 'accounts:read'],
    ['accounts:read', ''],
    ['accounts:read', undefined],
    ['undefined', undefined],
  ])('%s is not granted by "%s"', async (required, scope) => {
    expect(await outcomeWith({ scope }, requiring(required))).toBe('scope_insufficient');
  });
});

it('requireScopes() adds up nothing: two scopes are not granted by one that begins or ends like both', async () => {
  const both = scopesPolicy(['a:read', 'b:read']);
  for (const scope of ['a:read', 'b:read', 'a:readb:read', 'a:read:b:read']) {
    expect(await outcomeWith({ scope }, both)).toBe('scope_insufficient');
  }
});

describe('requireAuthentication() compares whole values of acr, and knows no order', () => {
  const acr = (...acrValues: string[]) => authenticationPolicy({ acrValues });
  it('the value itself and one of several values are enough', async () => {
    expect(await outcomeWith({ acr: 'urn:loa2' }, acr('urn:loa2'))).toBe('admitted');
    expect(await outcomeWith({ acr: 'urn:loa2' }, acr('urn:loa1', 'urn:loa2'))).toBe('admitted');
  });

  it.each<[string, unknown]>([
    ['urn:loa2', 'urn:loa3'],
    ['urn:loa2', 'urn:loa20'],
    ['urn:loa2', 'urn:loa1'],
    ['urn:loa2', 'urn:loa'],
    ['urn:loa2', 'URN:LOA2'],
    ['urn:loa2', 'zzz'],
    ['urn:loa2', 'urn:loa1 urn:loa2'],
    ['urn:loa2', 'x-urn:loa2'],
    ['urn:loa2', ['urn:loa2']],
    ['urn:loa2', { 'urn:loa2': true }],
    ['urn:loa2', null],
    ['2', 3],
    ['2', 2],
    ['2', '3'],
    ['1', true],
    ['undefined', undefined],
    ['null', null],
  ])('%s is not met by %j', async (required, given) => {
    expect(await outcomeWith({ acr: given }, acr(required))).toBe('authentication_insufficient');
  });
});

describe('requireAuthorizationDetails() wants type, every action and a location of one detail', () => {
  const policy = authorizationDetailsPolicy({
    type: 'payment',
    actions: ['initiate', 'status'],
    locations: ['https://api.example.com/a', 'https://api.example.com/b'],
  });
  const full = {
    type: 'payment',
    actions: ['status', 'initiate'],
    locations: ['https://api.example.com/b'],
  };
  it('a detail with all of it is enough', async () => {
    expect(await outcomeWith({ authorization_details: [{ type: 'x' }, full] }, policy)).toBe('admitted');
  });

  it.each<[string, unknown]>([
    ['the type alone', [{ type: 'payment' }]],
    ['no actions', [{ ...full, actions: undefined }]],
    ['no locations', [{ ...full, locations: undefined }]],
    ['one action of two', [{ ...full, actions: ['initiate'] }]],
    ['actions as one text', [{ ...full, actions: 'initiate status' }]],
    ['an action that contains the required one', [{ ...full, actions: ['status', 'initiate:all'] }]],
    ['every action by a wildcard', [{ ...full, actions: ['*'] }]],
    ['a location below the required one', [{ ...full, locations: ['https://api.example.com/b/c'] }]],
    ['a location above the required one', [{ ...full, locations: ['https://api.example.com'] }]],
    ['a location as one text', [{ ...full, locations: 'https://api.example.com/b' }]],
    ['a type that begins alike', [{ ...full, type: 'payment_initiation' }]],
    ['a type in another case', [{ ...full, type: 'Payment' }]],
    ['a type as a list', [{ ...full, type: ['payment'] }]],
    [
      'what two details grant together',
      [
        { ...full, actions: ['status'] },
        { ...full, actions: ['initiate'] },
      ],
    ],
    ['no list around it', full],
    ['the list as JSON text', JSON.stringify([full])],
    ['a list in the list', [[full]]],
    ['members that are inherited by name alone', [{ type: 'payment', actions: { length: 2 } }]],
  ])('%s is not enough', async (_title, details) => {
    expect(await outcomeWith({ authorization_details: details }, policy)).toBe(
      'authorization_details_insufficient',
    );
  });
});

describe('requireClaims() compares whole values of the same type', () => {
  it.each<[Parameters<typeof claimsPolicy>[0], unknown]>([
    [{ tenant: 'red' }, 'red-team'],
    [{ tenant: 'red' }, 'Red'],
    [{ tenant: 'red' }, 'red blue'],
    [{ tenant: 'red' }, { red: true }],
    [{ tenant: 'red' }, [['red']]],
    [{ tenant: 'red' }, undefined],
    [{ tenant: 1 }, '1'],
    [{ tenant: 1 }, true],
    [{ tenant: true }, 'true'],
    [{ tenant: true }, 1],
    [{ tenant: false }, undefined],
    [{ tenant: false }, 0],
    [{ tenant: false }, null],
    [{ tenant: ['red', 'blue'] }, 'redblue'],
    [{ tenant: 'undefined' }, undefined],
    [{ tenant: 'null' }, null],
  ])('%j is not met by %j', async (required, tenant) => {
    expect(await outcomeWith({ tenant }, claimsPolicy(required) as RoutePolicy)).toBe('claims_insufficient');
  });
});

describe('the audience of a token is compared whole', () => {
  const ours = 'https://api.example.com';
  it.each<[unknown]>([
    [`${ours}/`],
    [`${ours}/payments`],
    [`${ours}.evil.example`],
    [`${ours}:443`],
    ['https://api.example.co'],
    ['https://API.example.com'],
    ['http://api.example.com'],
    ['api.example.com'],
    [`x ${ours}`],
    [`${ours} x`],
    ['*'],
    ['https://*.example.com'],
    [''],
    [[]],
    [['https://api.example.co', 'm']],
    [undefined],
  ])('%j is another audience', async (aud) => {
    expect(await outcomeWith({ aud }, undefined, { audience: ours })).toBe('token_wrong_audience');
  });

  it('one of several audiences of ours is enough, among others of the token', async () => {
    const audience = [ours, 'urn:api'];
    expect(await outcomeWith({ aud: ['x', 'urn:api'] }, undefined, { audience })).toBe('admitted');
    expect(await outcomeWith({ aud: ['x', 'urn:api:2'] }, undefined, { audience })).toBe(
      'token_wrong_audience',
    );
  });
});

describe('the thumbprint in cnf is compared whole', () => {
  it.each<[string, (thumbprint: string) => unknown]>([
    ['in another case', (ours) => (ours === ours.toLowerCase() ? ours.toUpperCase() : ours.toLowerCase())],
    ['its first 42 characters', (ours) => ours.slice(0, -1)],
    ['with one character more', (ours) => `${ours}A`],
    ['with padding', (ours) => `${ours}=`],
    ['with a blank', (ours) => `${ours} `],
    ['with another first character', (ours) => `${ours.startsWith('A') ? 'B' : 'A'}${ours.slice(1)}`],
    ['with another last character', (ours) => `${ours.slice(0, -1)}${ours.endsWith('A') ? 'E' : 'A'}`],
    ['as bytes in base64', (ours) => Buffer.from(ours, 'base64url').toString('base64')],
    ['in hex', (ours) => Buffer.from(ours, 'base64url').toString('hex')],
  ])('%s it is another thumbprint', async (_title, changed) => {
    const cnf = { 'x5t#S256': changed(kit.certificate.thumbprint) };
    expect(await outcomeWith({ cnf })).toBe('certificate_mismatch');
  });

  it.each<[string, (thumbprint: string) => unknown]>([
    ['empty', () => ''],
    ['a list', (ours) => [ours]],
    ['an object', (ours) => ({ 0: ours })],
    ['true', () => true],
    ['null', () => null],
  ])('%s it is no thumbprint', async (_title, changed) => {
    const cnf = { 'x5t#S256': changed(kit.certificate.thumbprint) };
    expect(await outcomeWith({ cnf })).toBe('token_bound_otherwise');
  });
});
