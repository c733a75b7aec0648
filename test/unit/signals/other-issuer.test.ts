// With several authorization servers a transmitter revokes the tokens of the issuers that it speaks for, and of no other.

import { ConfigurationError, type SharedSignalsOptions } from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mismatch } from '../../support/mismatch.js';
import { PretendTransmitter, pushRequest } from '../../support/pretend-transmitter.js';
import { revokingEvents } from '../../support/security-event-tokens.js';

const transmitter = new PretendTransmitter();
const own = transmitter.issuer;
const other = 'https://other.example.com';
const third = 'https://third.example.com';
const configured = [own, other, third];

const warn = vi.spyOn(process, 'emitWarning');
beforeEach(() => {
  warn.mockImplementation(() => undefined);
});
afterEach(() => {
  vi.clearAllMocks();
});

/** What a signal with these claims revokes: the arguments of each call of `revoke()`. */
async function revokedBy(claims: object, options: Partial<SharedSignalsOptions> = {}): Promise<unknown[]> {
  const receiver = transmitter.receiver(options, configured);
  const { status } = await receiver.acceptPush(pushRequest(), transmitter.set(claims));
  receiver.close();
  expect(status).toBe(202);
  return transmitter.revoke.mock.calls.map(([revocation]) => revocation);
}

const sub = (iss: string) => ({ format: 'iss_sub', iss, sub: 'user-1' });
const opaque = { format: 'opaque', id: 'user-1' };
const foreign: [string, object][] = [
  ['iss_sub', sub(other)],
  ['jwt_id', { format: 'jwt_id', iss: other, jti: 'token-1' }],
  ['a saml_assertion_id', { format: 'saml_assertion_id', issuer: other, assertion_id: 'a' }],
  ['an alias', { format: 'aliases', identifiers: [sub(other)] }],
  ['the user of a complex subject', { format: 'complex', user: sub(other) }],
  ['the user of a complex subject in a tenant', { user: sub(other), tenant: opaque }],
  ['the session of a complex subject', { session: { format: 'jwt_id', iss: other, jti: 'token-1' } }],
  ['the application of a complex subject', { application: sub(other) }],
];

describe('with the default of issuers', () => {
  it.each(foreign)(
    '%s of another configured issuer revokes nothing, and that is reported',
    async (_title, sub_id) => {
      expect(await revokedBy({ sub_id })).toEqual([]);
      expect(warn).toHaveBeenCalledWith(
        expect.stringContaining(`have the transmitter send iss_sub of ${own}, opaque`),
        expect.objectContaining({ code: 'MTLS_BOUND_SIGNAL_NOT_REVOKED' }),
      );
    },
  );

  it.each(revokingEvents)('a subject of another configured issuer is not revoked by %s', async (type) => {
    expect(await revokedBy({ sub_id: sub(other), events: { [type]: {} } })).toEqual([]);
    expect(await revokedBy({ sub_id: undefined, events: { [type]: { subject: sub(other) } } })).toEqual([]);
  });

  it('a subject that names no issuer means tokens of the transmitter’s own issuer', async () => {
    expect(await revokedBy({ sub_id: opaque })).toEqual([{ subject: 'user-1', issuer: own }]);
  });

  it('of aliases that name several issuers those of the transmitter’s own are revoked', async () => {
    const identifiers = [sub(other), sub(own)];
    expect(await revokedBy({ sub_id: { format: 'aliases', identifiers } })).toEqual([
      { subject: 'user-1', issuer: own },
    ]);
  });
});

it('issuer names the one issuer that the transmitter speaks for', async () => {
  const identifiers = [sub(own), sub(other), { ...opaque, id: 'user-2' }];
  const sub_id = { format: 'aliases', identifiers };
  expect(await revokedBy({ sub_id }, { issuer: other })).toEqual([
    { subject: 'user-1', issuer: other },
    { subject: 'user-2', issuer: other },
  ]);
});

it('issuers names each issuer that the transmitter speaks for', async () => {
  const identifiers = [sub(own), sub(other), sub(third), { ...opaque, id: 'user-2' }];
  const sub_id = { format: 'aliases', identifiers };
  expect(await revokedBy({ sub_id }, { issuers: [other, third], issuer: third })).toEqual([
    { subject: 'user-1', issuer: other },
    { subject: 'user-1', issuer: third },
    { subject: 'user-2', issuer: third },
  ]);
});

it('the only issuer in issuers is the one of subjects that name none', async () => {
  expect(await revokedBy({ sub_id: opaque }, { issuers: [third] })).toEqual([
    { subject: 'user-1', issuer: third },
  ]);
});

it.each<[string, Partial<SharedSignalsOptions>, string | RegExp]>([
  ['issuers that is empty', { issuers: [] }, mismatch('sharedSignals().issuers', 'a list')],
  [
    'issuers with one that is not configured',
    { issuers: [own, 'https://x.example'] },
    mismatch('sharedSignals().issuers', 'a list'),
  ],
  ['issuers that is a text', { issuers: own as never }, 'sharedSignals().issuers: '],
  [
    'issuer that is not in issuers',
    { issuer: own, issuers: [other] },
    mismatch('sharedSignals().issuer', 'an issuer that is not in issuers'),
  ],
  [
    'issuers of which none is the transmitter',
    { issuers: [other, third] },
    mismatch('sharedSignals().issuer', 'nothing'),
  ],
  [
    'a transmitter that is no configured issuer',
    { transmitter: 'https://x.example' },
    mismatch('sharedSignals().issuer', 'nothing'),
  ],
])('is refused at start-up: %s', (_title, options, message) => {
  const create = () => transmitter.receiver(options, configured);
  expect(create).toThrow(ConfigurationError);
  expect(create).toThrow(message);
});
