// binding: 'report' reports each request that it accepts once, and says of each whether its token is bound.
import { haproxy, observeEvents, proxyHeader, type ResourceServerOptions } from '@mtls-bound/core';
import request from 'supertest';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework } from '../../support/apis.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let pki: Pki;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});

let stop: () => void = () => undefined;
afterEach(() => stop());

const bound = () => boundClaims(pki.alice);
const unbound = () => boundClaims(pki.alice, { cnf: undefined });
const inactive = () => ({ active: false });
const own = () => pki.alice.der.toString('base64');
const other = () => pki.bob.der.toString('base64');
const malformed = () => 'AAAA';
const policy = { certificatePolicy: { subject: 'CN=of another' } };

type Row = [
  title: string,
  header: (() => string) | undefined,
  claims: () => object,
  more: ResourceServerOptions,
  expected: string[],
];
const rows: Row[] = [
  ['the right certificate', own, bound, {}, ['admitted true']],
  ['a malformed header, an inactive token', malformed, inactive, {}, ['refused token_inactive']],
  ['a malformed header', malformed, bound, {}, ['admitted false', 'reported certificate_malformed']],
  [
    'a malformed header, an unbound token',
    malformed,
    unbound,
    {},
    ['admitted false', 'reported certificate_malformed'],
  ],
  [
    'the right certificate, refused by the policy',
    own,
    bound,
    policy,
    ['admitted true', 'reported certificate_refused'],
  ],
  [
    'another certificate, refused by the policy',
    other,
    bound,
    policy,
    ['admitted false', 'reported certificate_mismatch'],
  ],
  ['no header', undefined, bound, {}, ['admitted false', 'reported certificate_missing']],
  ['no header, an inactive token', undefined, inactive, {}, ['refused token_inactive']],
];

describe.each<Framework>(['Express', 'Express 4', 'Koa', 'Koa 2'])('%s', (framework) => {
  it.each(rows)('%s, asked about and known', async (_title, header, claims, more, expected) => {
    const events: string[] = [];
    stop = observeEvents({
      admitted: ({ isBound }) => events.push(`admitted ${isBound}`),
      refused: ({ refusal }) => events.push(`refused ${refusal.code}`),
      reported: ({ refusal }) => events.push(`reported ${refusal.code}`),
    });
    const certificate = proxyHeader(haproxy(), { trust: 'loopback' });
    const options = { binding: 'report', certificate, ...more } as const;
    const { listener } = createApi(framework, optionsOver(pretendServer(claims), undefined, options));
    for (let i = 0; i < 2; i += 1) {
      // The second mtlsBound() decision of a request, that of requireActive(), is no second report.
      for (const path of ['/', '/active']) {
        events.length = 0;
        const get = request(listener).get(path).auth('token', { type: 'bearer' });
        const response = await (header === undefined ? get : get.set('x-ssl-client-cert', header()));
        expect(events.toSorted()).toEqual(expected);
        if (response.status === 200) {
          expect(expected).toContain(`admitted ${response.body.isBound}`);
        }
      }
    }
  });
});
