// What the receiver modules of OpenID's conformance suite demand of a receiver, as far as push is concerned.

import type { SignalEvent } from '@mtls-bound/core';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { PretendTransmitter, pushRequest } from '../../support/pretend-transmitter.js';
import { recordedEvents } from '../../support/recorded-events.js';

const caep = 'https://schemas.openid.net/secevent/caep/event-type/';
const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/';
const signals = recordedEvents<SignalEvent>('mtls-bound:signal');
const problems = recordedEvents<{ readonly code: string }>('mtls-bound:problem');

let transmitter: PretendTransmitter;
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  transmitter = new PretendTransmitter();
});

/** The answers to pushed tokens with these claims, one after the other. */
async function answersTo(...tokens: readonly object[]): Promise<number[]> {
  const receiver = transmitter.receiver();
  const statuses = [];
  for (const claims of tokens) {
    statuses.push((await receiver.acceptPush(pushRequest(), transmitter.set(claims))).status);
  }
  receiver.close();
  return statuses;
}

/** What names a stream (SSF 1.0 §8.1.4.1). */
const stream = { sub_id: { format: 'opaque', id: 'stream-1' } };
const user = (sub: string) => ({ format: 'iss_sub', iss: 'https://transmitter.example.com', sub });

it('openid-ssf-receiver-happypath: reads the configuration and the keys, and acknowledges what it acted on', async () => {
  expect(await answersTo({})).toEqual([202]);
  expect(transmitter.asked).toEqual([
    'https://transmitter.example.com/.well-known/ssf-configuration',
    'https://transmitter.example.com/jwks',
  ]);
  expect(signals.map(({ outcome }) => outcome)).toEqual(['revoked']);
});

it('openid-ssf-receiver-unsolicited-stream-verification: acknowledges a verification without state that it did not ask for', async () => {
  expect(await answersTo({ ...stream, events: { [`${ssf}verification`]: {} } })).toEqual([202]);
  expect(transmitter.revoke).not.toHaveBeenCalled();
});

it('openid-ssf-receiver-stream-status-update: acknowledges each status, and reports the two that stop the signals', async () => {
  const updates = ['enabled', 'paused', 'disabled'].map((status) => ({
    ...stream,
    events: { [`${ssf}stream-updated`]: { status, reason: 'for the test' } },
  }));
  expect(await answersTo(...updates)).toEqual([202, 202, 202]);
  expect(problems.map(({ code }) => code)).toEqual(['signals_stopped', 'signals_stopped']);
  expect(transmitter.revoke).not.toHaveBeenCalled();
});

it('openid-ssf-receiver-stream-supported-events: acknowledges each event that a transmitter may support', async () => {
  const types = [
    'session-revoked',
    'token-claims-change',
    'credential-change',
    'assurance-level-change',
    'device-compliance-change',
    'session-established',
    'session-presented',
    'risk-level-change',
  ];
  const tokens = types.map((type) => ({ events: { [caep + type]: { event_timestamp: 1_700_000_000 } } }));
  expect(await answersTo(...tokens)).toEqual(types.map(() => 202));
  expect(transmitter.revoke).toHaveBeenCalledTimes(3);
});

describe('openid-ssf-receiver-stream-caep-interop', () => {
  it.each<[string, object]>([
    [
      'session-revoked',
      {
        event_timestamp: 1_700_000_000,
        initiating_entity: 'policy',
        reason_admin: { en: 'Landspeed Policy Violation: C076E82F' },
        reason_user: { en: 'Access attempt from multiple regions.' },
      },
    ],
    [
      'credential-change',
      {
        event_timestamp: 1_700_000_000,
        credential_type: 'fido2-roaming',
        change_type: 'create',
        friendly_name: 'Jane’s USB authenticator',
      },
    ],
  ])('%s: revokes the tokens of the user, and acknowledges', async (type, event) => {
    expect(await answersTo({ sub_id: user('user-1'), events: { [caep + type]: event } })).toEqual([202]);
    expect(transmitter.revoke.mock.calls.map(([revocation]) => revocation)).toEqual([
      { subject: 'user-1', issuer: 'https://transmitter.example.com' },
    ]);
  });

  it('device-compliance-change: is acknowledged and revokes nothing', async () => {
    const event = { current_status: 'not-compliant', previous_status: 'compliant' };
    const claims = { sub_id: user('user-1'), events: { [`${caep}device-compliance-change`]: event } };
    expect(await answersTo(claims)).toEqual([202]);
    expect(transmitter.revoke).not.toHaveBeenCalled();
  });
});
