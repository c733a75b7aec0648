// What a revocation tells others, who may make one, and how long it is remembered.
import { createHash } from 'node:crypto';
import { createResourceServer, type ResourceServerOptions, type Revocation } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createSeal } from '../../../packages/core/src/shared/sealing.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const secret = 'a secret of at least 32 characters';
const token = 'tok-3141592653';
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();
afterEach(() => {
  vi.useRealTimers();
});

/** A process that is connected to others by a channel in the test's hands. */
async function joined(more: ResourceServerOptions = {}) {
  const messages: string[] = [];
  const stored: string[] = [];
  let hear: (message: string) => void = () => undefined;
  let isJoined = 'revocations' in more;
  const server = pretendServer(() => boundClaims(kit.certificate));
  const resourceServer = createResourceServer(
    optionsOver(server, kit.certificate, {
      revocations: {
        secret,
        channel: {
          // What says no more than that its sender is there is of no interest here.
          publish: async (message) => void (isAlive(message) || messages.push(message)),
          subscribe: async (listener) => {
            hear = (message) => listener.message(message);
            isJoined = true;
            return async () => undefined;
          },
        },
      },
      ...(Object.keys(more).length === 0 && {
        sharedCache: {
          secret,
          store: {
            get: async (name) => stored[stored.lastIndexOf(name) + 1],
            set: async (name, value) => void stored.push(name, value),
          },
        },
      }),
      ...more,
    }),
  );
  const ask = (of = token) => outcomeOf(() => resourceServer.authorize(requestWith(of)));
  // The channel is joined by now, so that what is learnt next is not older than that.
  await vi.waitFor(() => expect(isJoined).toBe(true));
  await new Promise((resolve) => setTimeout(resolve, 2));
  await ask();
  return { resourceServer, server, messages, stored, ask, hear: (message: string) => hear(message) };
}

const isAlive = (message: string) =>
  createSeal(secret, 'revocation').open('revocation', message)?.includes('alive');

const tokenHash = createHash('sha256').update(token).digest('base64url');

describe('a revocation that is sent', () => {
  const opened = (message: string): string => {
    const text = createSeal(secret, 'revocation').open('revocation', message);
    expect(text).toBeTypeOf('string');
    return text ?? '';
  };
  const tokenInAnyForm = [
    token,
    Buffer.from(token).toString('base64').replaceAll('=', ''),
    Buffer.from(token).toString('base64url'),
    Buffer.from(token).toString('hex'),
    encodeURIComponent(token),
  ];

  it('of a token never holds the token, sealed or not', async () => {
    const { resourceServer, messages, stored } = await joined();
    await resourceServer.revoke({ token });
    expect(messages).toHaveLength(1);
    const all = [...messages, ...messages.map(opened), ...stored];
    for (const form of tokenInAnyForm) {
      expect(all.filter((text) => text.includes(form))).toEqual([]);
    }
  });

  it.each<[string, Revocation, string]>([
    ['a subject', { subject: 'user-161803' }, '161803'],
    ['a client', { clientId: 'client-161803' }, '161803'],
  ])(
    'of %s is sealed: the channel shows nothing of it to its readers',
    async (_title, revocation, private_) => {
      const { resourceServer, messages, stored } = await joined();
      await resourceServer.revoke(revocation);
      expect(opened(messages[0] ?? '')).toContain(private_);
      const raw = [...messages, ...stored].flatMap((text) => [
        text,
        Buffer.from(text, 'base64url').toString('latin1'),
      ]);
      expect(raw.filter((text) => text.includes(private_))).toEqual([]);
    },
  );
});

describe('a message that was not sealed with our secret revokes nothing', () => {
  const revocations: [string, object][] = [
    ['the token', { tokenHash }],
    ['the token itself', { token }],
    ['the subject', { subject: 'user-1' }],
    ['the client', { clientId: 'alice' }],
  ];
  const forms: [string, (revocation: object) => string][] = [
    ['JSON', (revocation) => JSON.stringify({ revocation, at: Date.now() })],
    ['JSON without a time', (revocation) => JSON.stringify({ revocation })],
    ['JSON without a frame', (revocation) => JSON.stringify(revocation)],
    [
      'base64url of JSON',
      (revocation) => Buffer.from(JSON.stringify({ revocation, at: Date.now() })).toString('base64url'),
    ],
    [
      'sealed with another secret',
      (revocation) =>
        createSeal('another secret of at least 32 characters', 'revocation').seal(
          'revocation',
          JSON.stringify({ revocation, at: Date.now() }),
        ),
    ],
    [
      'sealed for another purpose',
      (revocation) =>
        createSeal(secret, 'tokens').seal('revocation', JSON.stringify({ revocation, at: Date.now() })),
    ],
    [
      'sealed under another name',
      (revocation) =>
        createSeal(secret, 'revocation').seal('other', JSON.stringify({ revocation, at: Date.now() })),
    ],
  ];
  it.each(
    revocations.flatMap(([what, revocation]) =>
      forms.map(([how, form]) => [`${what}, ${how}`, () => form(revocation)] as const),
    ),
  )('%s', async (_title, message) => {
    const { ask, hear, server } = await joined();
    const asked = server.asked.length;
    hear(message());
    expect(await ask()).toBe('admitted');
    // It is not even asked about again: nothing of the message was taken for true.
    expect(server.asked).toHaveLength(asked);
  });

  it.each(revocations.filter(([what]) => what !== 'the token itself'))(
    'and one that was sealed counts: %s',
    async (what, revocation) => {
      const { ask, hear, server } = await joined();
      const asked = server.asked.length;
      hear(
        createSeal(secret, 'revocation').seal('revocation', JSON.stringify({ revocation, at: Date.now() })),
      );
      expect(await ask()).toBe(what === 'the token' ? 'token_inactive' : 'admitted');
      // A revoked token is refused at once; of the others the authorization server is asked again.
      expect(server.asked.length > asked).toBe(what !== 'the token');
    },
  );
});

describe('a revocation is remembered', () => {
  it('however many others follow', async () => {
    const { resourceServer, ask } = await joined({ revocations: {} });
    await resourceServer.revoke({ token });
    for (let i = 0; i < 20_000; i += 1) {
      await resourceServer.revoke({ token: `other-${i}` });
    }
    expect(await ask()).toBe('token_inactive');
    expect(await ask('other-0')).toBe('token_inactive');
  });

  it('for all of revocations.longestTokenLifetime', async () => {
    const { resourceServer, ask } = await joined({ revocations: { longestTokenLifetime: 3_600 } });
    vi.useFakeTimers({ toFake: ['Date'] });
    await resourceServer.revoke({ token });
    for (let i = 0; i < 59; i += 1) {
      vi.setSystemTime(Date.now() + 60_000);
      expect(await ask()).toBe('token_inactive');
    }
  });
});
