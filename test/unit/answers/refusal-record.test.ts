import { expect, it } from 'vitest';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import { recordRefusal, refusalOf } from '../../../packages/core/src/response/refusal-record.js';

const refused = {};
const refusal = new RequestRefused('token_expired');
recordRefusal(refused, refusal);

it.each<[string, object, RequestRefused | undefined]>([
  ['a refused request', refused, refusal],
  ['what holds a refused request as req', { req: refused }, refusal],
  ['another request', {}, undefined],
  ['what holds another request as req', { req: {} }, undefined],
  ['what holds null as req', { req: null }, undefined],
  ['what holds a text as req', { req: 'x' }, undefined],
])('refusalOf() of %s returns the refusal of that request alone', (_title, request, expected) => {
  expect(refusalOf(request)).toBe(expected);
});

it('a request keeps its own refusal, whatever it holds as req', () => {
  const other = { req: refused };
  const own = new RequestRefused('scope_insufficient');
  expect(recordRefusal(other, own)).toBe(own);
  expect(refusalOf(other)).toBe(own);
});
