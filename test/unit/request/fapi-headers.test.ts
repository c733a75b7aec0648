import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it } from 'vitest';
import { ConfigurationError } from '../../../packages/core/src/errors.js';
import {
  type FapiHeadersOptions,
  fapiHeaderReader,
} from '../../../packages/core/src/request/fapi-headers.js';
import { interactionOf } from '../../../packages/core/src/shared/interaction-id.js';

const random = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;
// RFC 9562 Appendix A.
const ids = [
  ['version 1', 'C232AB00-9414-11EC-B3C8-9F6BDECED846'],
  ['version 3', '5df41881-3aed-3515-88a7-2f4a814cf09e'],
  ['version 4', '919108f7-52d1-4320-9bac-f847db4148a8'],
  ['version 5', '2ed6657d-e927-568b-95e1-2665a8aea6a2'],
  ['version 7', '017F22E2-79B0-7CC3-98C4-DC0C0C07398F'],
] as const;
const id = ids[2][1];

function read(headers: Record<string, unknown>, options?: FapiHeadersOptions) {
  const req = { headers };
  const { fapi, refusal } = fapiHeaderReader(options)(req as never);
  return { fapi, code: refusal?.code, kept: interactionOf(req) };
}

describe.each(['made', 'required'] as const)("interactionId: '%s'", (interactionId) => {
  it.each(ids)('a UUID of %s is kept as sent', (_title, given) => {
    const { fapi, code, kept } = read({ 'x-fapi-interaction-id': given }, { interactionId });
    expect([fapi.interactionId, kept, code]).toEqual([given, given, undefined]);
  });

  it.each([
    [undefined],
    [''],
    ['x'],
    [`x${id}`],
    [`${id}x`],
    [`{${id}}`],
    [`urn:uuid:${id}`],
    [`${id}, ${id}`],
    [id.replaceAll('-', '')],
    [id.replace('9', 'g')],
    [id.slice(1)],
    [`${id}\n`],
  ])('R150: %j is replaced by a random id, and refused where one is required', (given) => {
    const { fapi, code, kept } = read({ 'x-fapi-interaction-id': given }, { interactionId });
    expect(fapi.interactionId).toMatch(random);
    expect(kept).toBe(fapi.interactionId);
    expect(code).toBe(interactionId === 'required' ? 'interaction_id_malformed' : undefined);
  });
});

it('without options each request without an id gets an id of its own', () => {
  const [one, other] = [read({}), read({})];
  expect([one.code, other.code]).toEqual([undefined, undefined]);
  expect(one.fapi.interactionId).not.toBe(other.fapi.interactionId);
});

it.each([
  // FAPI 1.0 Part 1 §6.2.2 and RFC 9110 §5.6.7.
  ['Tue, 11 Sep 2012 19:43:31 GMT', '2012-09-11T19:43:31.000Z'],
  ['Sun, 06 Nov 1994 08:49:37 GMT', '1994-11-06T08:49:37.000Z'],
  ['Sunday, 06-Nov-94 08:49:37 GMT', undefined],
  ['Sun Nov  6 08:49:37 1994', undefined],
  ['1994-11-06T08:49:37Z', undefined],
  ['Sun, 6 Nov 1994 08:49:37 GMT', undefined],
  ['Sun, 06 Nov 94 08:49:37 GMT', undefined],
  ['Sun, 06 Nov 1994 8:49:37 GMT', undefined],
  ['Sun, 06 Nov 1994 08:49 GMT', undefined],
  ['Sun, 06 Nov 1994 08:49:37 UTC', undefined],
  ['Sun, 06 Nov 1994 08:49:37 GMT+1', undefined],
  ['x Sun, 06 Nov 1994 08:49:37 GMT', undefined],
  ['Son, 06 Nov 1994 08:49:37 GMT', undefined],
  ['Sun, 06 nov 1994 08:49:37 GMT', undefined],
  ['Sun, 06 NOV 1994 08:49:37 GMT', undefined],
  ['Sun, 06 Nix 1994 08:49:37 GMT', undefined],
  ['Sun, 06 Nov 1994 25:49:37 GMT', undefined],
  ['', undefined],
  [undefined, undefined],
  [['Sun, 06 Nov 1994 08:49:37 GMT'], undefined],
])('R151: x-fapi-auth-date %j is read as %s', (given, expected) => {
  expect(read({ 'x-fapi-auth-date': given }).fapi.authDate?.toISOString()).toBe(expected);
});

it.each([
  ['198.51.100.119', '198.51.100.119'],
  ['2001:DB8::1893:25c8:1946', '2001:DB8::1893:25c8:1946'],
  ['198.51.100.256', undefined],
  ['198.51.100.119:443', undefined],
  ['198.51.100.119, 192.0.2.1', undefined],
  ['localhost', undefined],
  ['', undefined],
  [undefined, undefined],
  [['198.51.100.119'], undefined],
])('R151: x-fapi-customer-ip-address %j is read as %s', (given, expected) => {
  expect(read({ 'x-fapi-customer-ip-address': given }).fapi.customerIpAddress).toBe(expected);
});

it('each refusal is published, with the id that the answer bears', () => {
  const published: unknown[] = [];
  const listen = (event: unknown): void => void published.push(event);
  subscribe('mtls-bound:refused', listen);
  try {
    read({ 'x-fapi-interaction-id': 'x' });
    read({ 'x-fapi-interaction-id': id }, { interactionId: 'required' });
    expect(published).toEqual([]);
    const { kept } = read({ 'x-fapi-interaction-id': 'x' }, { interactionId: 'required' });
    expect(published).toEqual([
      expect.objectContaining({
        refusal: expect.objectContaining({ code: 'interaction_id_malformed' }),
        interactionId: kept,
      }),
    ]);
  } finally {
    unsubscribe('mtls-bound:refused', listen);
  }
});

it.each([
  [undefined, 'answer'],
  ['answer', 'answer'],
  ['next', 'next'],
] as const)('onRefused: %s has the refusal answered by "%s"', (onRefused, expected) => {
  const options = onRefused === undefined ? {} : { onRefused };
  expect(fapiHeaderReader(options)({ headers: {} } as never).onRefused).toBe(expected);
});

it('the result is frozen', () => {
  expect(read({}).fapi).toSatisfy(Object.isFrozen);
});

it.each<[unknown, string, string]>([
  [{ interactionId: 'maybe' }, 'fapiHeaders().interactionId', `expected 'made' or 'required', got "maybe"`],
  [{ interactionId: true }, 'fapiHeaders().interactionId', `expected 'made' or 'required', got true`],
  [
    { interactionID: 'made' },
    'fapiHeaders().interactionID',
    'expected no options but interactionId, onRefused, got an unknown one; did you mean interactionId?',
  ],
  [
    { onRefused: 'throw' },
    'fapiHeaders().onRefused',
    `expected 'answer' or 'next', got a string of 5 characters`,
  ],
  [null, 'fapiHeaders()', 'expected an object of interactionId, onRefused, got null'],
])('%j is refused at start-up', (options, option, message) => {
  expect(() => fapiHeaderReader(options as never)).toThrow(new ConfigurationError(option, message));
});
