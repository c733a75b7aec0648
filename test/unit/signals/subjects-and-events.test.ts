// Which event revokes, and what each subject identifier names.
import type { SignalEvent } from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PretendTransmitter, pushRequest } from '../../support/pretend-transmitter.js';
import { recordedEvents } from '../../support/recorded-events.js';

const caep = 'https://schemas.openid.net/secevent/caep/event-type/';
const risc = 'https://schemas.openid.net/secevent/risc/event-type/';
const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/';
const signals = recordedEvents<SignalEvent>('mtls-bound:signal');

let transmitter: PretendTransmitter;
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  transmitter = new PretendTransmitter();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** What is revoked by a token with these claims, and the outcome that is published. */
async function outcomeOf(claims: object): Promise<[readonly unknown[], string | undefined]> {
  const receiver = transmitter.receiver();
  const { status } = await receiver.acceptPush(pushRequest(), transmitter.set(claims));
  receiver.close();
  expect(status).toBe(202);
  return [transmitter.revoke.mock.calls.map(([revocation]) => revocation), signals.at(-1)?.outcome];
}

const issuer = 'https://transmitter.example.com';
const opaque = { format: 'opaque', id: 'user-1' };
const thumbprint = 'A'.repeat(43);
const subject = { subject: 'user-1', issuer };

describe('the event', () => {
  it.each([
    ['R210: session-revoked', `${caep}session-revoked`],
    ['R210: token-claims-change', `${caep}token-claims-change`],
    ['R210: credential-change', `${caep}credential-change`],
    ['R211: account-credential-change-required', `${risc}account-credential-change-required`],
    ['R211: account-purged', `${risc}account-purged`],
    ['R211: account-disabled', `${risc}account-disabled`],
    ['R211: sessions-revoked', `${risc}sessions-revoked`],
  ])('%s revokes the tokens of its subject', async (_title, type) => {
    expect(await outcomeOf({ events: { [type]: { event_timestamp: 1 } } })).toEqual([[subject], 'revoked']);
  });

  it.each([
    ['R210: assurance-level-change', `${caep}assurance-level-change`],
    ['R210: device-compliance-change', `${caep}device-compliance-change`],
    ['R210: session-established', `${caep}session-established`],
    ['R210: session-presented', `${caep}session-presented`],
    ['R210: risk-level-change', `${caep}risk-level-change`],
    ['R211: account-enabled', `${risc}account-enabled`],
    ['R211: identifier-changed', `${risc}identifier-changed`],
    ['R211: identifier-recycled', `${risc}identifier-recycled`],
    ['R211: credential-compromise', `${risc}credential-compromise`],
    ['R211: opt-in', `${risc}opt-in`],
    ['R211: opt-out-initiated', `${risc}opt-out-initiated`],
    ['R211: opt-out-cancelled', `${risc}opt-out-cancelled`],
    ['R211: opt-out-effective', `${risc}opt-out-effective`],
    ['R211: recovery-activated', `${risc}recovery-activated`],
    ['R211: recovery-information-changed', `${risc}recovery-information-changed`],
    ['R212: stream-updated', `${ssf}stream-updated`],
    ['R213: verification', `${ssf}verification`],
    ['R214: an event of its own', 'https://example.com/own'],
    ['R214: session-revoked with a slash more', `${caep}session-revoked/`],
    ['R214: a name that every object has', 'toString'],
  ])('%s is accepted and revokes nothing', async (_title, type) => {
    expect(await outcomeOf({ events: { [type]: {} } })).toEqual([[], 'ignored']);
  });

  it('R214: of several events in one token, one that revokes is enough', async () => {
    const events = { 'https://example.com/own': {}, [`${caep}session-revoked`]: {} };
    expect(await outcomeOf({ events })).toEqual([[subject], 'revoked']);
  });
});

it('revokes a subject once that several events and aliases of one token name', async () => {
  const aliases = { format: 'aliases', identifiers: [opaque, opaque, { ...opaque, id: 'user-2' }, opaque] };
  const events = {
    [`${caep}session-revoked`]: { subject: aliases },
    [`${caep}credential-change`]: { subject: aliases },
    [`${risc}account-disabled`]: { subject: opaque },
  };
  const { sub_id: _, ...claims } = { sub_id: opaque, events };
  expect(await outcomeOf({ ...claims, sub_id: undefined })).toEqual([
    [subject, { ...subject, subject: 'user-2' }],
    'revoked',
  ]);
});

describe('the subject', () => {
  it.each<[string, unknown, object[]]>([
    ['R207: iss_sub', { format: 'iss_sub', iss: issuer, sub: 'user-1' }, [subject]],
    ['R207: opaque', opaque, [subject]],
    [
      'R207: aliases',
      { format: 'aliases', identifiers: [opaque, { ...opaque, id: 'user-2' }] },
      [subject, { subject: 'user-2', issuer }],
    ],
    ['R209: jwt_id', { format: 'jwt_id', iss: issuer, jti: 'token-1' }, [{ jti: 'token-1', issuer }]],
    ['R209: a thumbprint', { format: 'x5t#S256', 'x5t#S256': thumbprint }, [{ thumbprint, issuer }]],
    ['R209: complex: a user', { format: 'complex', user: opaque }, [subject]],
    ['R209: complex: a user in a tenant', { format: 'complex', user: opaque, tenant: opaque }, [subject]],
    ['R209: complex: a session', { session: { format: 'opaque', id: 's' } }, [{ session: 's', issuer }]],
    [
      'R209: complex: a user and a session, each on its own',
      { user: opaque, session: { format: 'opaque', id: 's' } },
      [subject, { session: 's', issuer }],
    ],
    ['R209: complex: an application', { application: opaque }, [{ clientId: 'user-1', issuer }]],
    ['R209: complex: a user of an application', { user: opaque, application: opaque }, [subject]],
    [
      'R208: complex: aliases of a user and of a session',
      {
        user: { format: 'aliases', identifiers: [opaque, { ...opaque, id: 'user-2' }] },
        session: { format: 'aliases', identifiers: [opaque] },
      },
      [subject, { subject: 'user-2', issuer }, { session: 'user-1', issuer }],
    ],
    [
      'R208: complex: aliases of an application',
      { application: { format: 'aliases', identifiers: [opaque] } },
      [{ clientId: 'user-1', issuer }],
    ],
  ])('%s is revoked', async (_title, subjectId, revocations) => {
    expect(await outcomeOf({ sub_id: subjectId })).toEqual([revocations, 'revoked']);
  });

  it.each<[string, unknown]>([
    ['R207: account', { format: 'account', uri: 'acct:user-1@example.com' }],
    ['R207: email', { format: 'email', email: 'user-1@example.com' }],
    ['R207: phone_number', { format: 'phone_number', phone_number: '+12065550100' }],
    ['R207: did', { format: 'did', url: 'did:example:user-1' }],
    ['R207: uri', { format: 'uri', uri: 'urn:user-1' }],
    ['R207: a format that is not registered', { format: 'own', id: 'user-1' }],
    ['R207: a format in capitals', { ...opaque, format: 'OPAQUE' }],
    ['R207: a format that every object has', { ...opaque, format: 'constructor' }],
    ['R207: iss_sub of another issuer', { format: 'iss_sub', iss: 'https://x.example', sub: 'user-1' }],
    ['R207: iss_sub without iss', { format: 'iss_sub', sub: 'user-1' }],
    ['R207: iss_sub without sub', { format: 'iss_sub', iss: issuer }],
    ['R207: iss_sub whose sub is a number', { format: 'iss_sub', iss: issuer, sub: 7 }],
    ['R207: iss_sub whose iss is a list', { format: 'iss_sub', iss: [issuer], sub: 'user-1' }],
    ['R207: opaque without id', { format: 'opaque' }],
    ['R207: opaque with an empty id', { format: 'opaque', id: '' }],
    ['R207: opaque whose id is a list', { format: 'opaque', id: ['user-1'] }],
    ['R208: aliases without identifiers', { format: 'aliases' }],
    ['R208: aliases with none', { format: 'aliases', identifiers: [] }],
    ['R208: aliases in an object', { format: 'aliases', identifiers: { 0: opaque } }],
    ['R208: 21 aliases', { format: 'aliases', identifiers: Array(21).fill(opaque) }],
    [
      'R208: aliases within aliases',
      {
        format: 'aliases',
        identifiers: [{ format: 'aliases', identifiers: [opaque] }],
      },
    ],
    ['R209: saml_assertion_id', { format: 'saml_assertion_id', issuer, assertion_id: 'a' }],
    ['R209: jwt_id of another issuer', { format: 'jwt_id', iss: 'https://x.example', jti: 'token-1' }],
    ['R209: jwt_id without jti', { format: 'jwt_id', iss: issuer }],
    ['R209: a thumbprint in hex', { format: 'x5t#S256', 'x5t#S256': 'ab'.repeat(32) }],
    ['R209: complex: a device', { format: 'complex', device: opaque }],
    ['R209: complex: a tenant', { format: 'complex', tenant: opaque }],
    ['R209: complex: a group', { format: 'complex', group: opaque }],
    ['R209: complex: an org unit', { format: 'complex', org_unit: opaque }],
    ['R209: complex: nothing', { format: 'complex' }],
    ['R209: complex: a user that is a text', { format: 'complex', user: 'user-1' }],
    ['R209: complex: a user that is null, with an application', { user: null, application: opaque }],
    ['R208: complex: 21 aliases', { user: { format: 'aliases', identifiers: Array(21).fill(opaque) } }],
    [
      'R208: complex: aliases within aliases',
      { user: { format: 'aliases', identifiers: [{ format: 'aliases', identifiers: [opaque] }] } },
    ],
    [
      'R208: aliases of a complex subject',
      { format: 'aliases', identifiers: [{ format: 'complex', user: opaque }] },
    ],
    ['R209: complex: a user within a user', { user: { format: 'complex', user: opaque } }],
    ['R214: no subject', undefined],
    ['R214: a subject that is null', null],
    ['R214: a subject that is a text', 'user-1'],
    ['R214: a subject in a list', [opaque]],
  ])('%s revokes nothing, and that is reported', async (_title, subjectId) => {
    expect(await outcomeOf({ sub_id: subjectId })).toEqual([[], 'not_revoked']);
  });

  it('R208: of aliases those that name tokens are revoked, and that the others do not is reported', async () => {
    const identifiers = [{ format: 'email', email: 'user-1@example.com' }, opaque];
    expect(await outcomeOf({ sub_id: { format: 'aliases', identifiers } })).toEqual([
      [subject],
      'not_revoked',
    ]);
  });

  it('R214: a subject in the event counts where the token has none, as before SSF 1.0', async () => {
    const events = { [`${caep}session-revoked`]: { subject: opaque } };
    expect(await outcomeOf({ sub_id: undefined, events })).toEqual([[subject], 'revoked']);
  });

  it('R214: a subject of the token counts before that of an event', async () => {
    const events = { [`${caep}session-revoked`]: { subject: { ...opaque, id: 'user-2' } } };
    expect(await outcomeOf({ events })).toEqual([[subject], 'revoked']);
  });

  it('R214: the claim sub names no subject', async () => {
    expect(await outcomeOf({ sub: 'user-1', sub_id: undefined })).toEqual([[], 'not_revoked']);
  });
});
