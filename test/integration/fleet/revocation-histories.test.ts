// Histories in which a revocation or an answer could be missed, each with what every request in it is answered.
import { readTokenClaims, type TokenReader } from '@mtls-bound/core';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { recordedEvents } from '../../support/recorded-events.js';
import {
  answers,
  answersAreHeld,
  answersArrive,
  begins,
  blue,
  clockIsSet,
  does,
  ends,
  holdClocks,
  isIssued,
  isRevokedAtServer,
  jwts,
  listens,
  opaque,
  passes,
  red,
  releaseClocks,
  revokes,
  type Step,
  Story,
  serverClockIs,
  settlesOn,
  starts,
} from '../../support/revocation-story.js';

const problems = recordedEvents<{ code: string }>('mtls-bound:problem');
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Other texts of one JWT, whose signatures are as good as its own. */
const spellings: Record<string, (token: string) => string> = {
  'with padding': (token) => `${token}==`,
  'with an unused bit': (token) => token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) ?? '') ^ 1],
  'with n - s': (token) => {
    const [header, payload, text = ''] = token.split('.');
    const signature = Buffer.from(text, 'base64url');
    const s = order - BigInt(`0x${signature.subarray(32).toString('hex')}`);
    const negated = Buffer.from(s.toString(16).padStart(64, '0'), 'hex');
    return `${header}.${payload}.${Buffer.concat([signature.subarray(0, 32), negated]).toString('base64url')}`;
  },
};
const isSpelled = does((story) => {
  for (const [how, spell] of Object.entries(spellings)) {
    story.tokens.set(how, spell(story.token('a JWT')));
  }
});

/** Two issuers, whose tokens are JWTs. */
const tenants = (story: Story) => ({ issuers: [story.forJwts(red), story.forJwts(blue)] });
/** Opaque tokens of one issuer next to JWTs of another. */
const mixed = (story: Story) => ({
  issuers: [story.forOpaque(red), story.forJwts(blue)],
  selectIssuer: 'in-order' as const,
});
const listening = (story: Story, name: string) => ({ ...opaque(story), ...story.listening(name) });
const sharing = (story: Story, name: string) => ({ ...listening(story, name), ...story.sharing() });

/** A token source of a user's own, which may say that it asks. */
const ownSource =
  (isAsking: boolean, without: readonly string[] = []) =>
  (story: Story) => ({
    issuer: red,
    tokens: () => {
      const read = async (token: string) => {
        const answer = (await story.introspect(token)) as Record<string, unknown>;
        return readTokenClaims(
          Object.fromEntries(Object.entries(answer).filter(([name]) => !without.includes(name))),
          red,
        );
      };
      return (isAsking ? Object.assign(read, { kind: 'introspection' } as const) : read) as TokenReader;
    },
  });

const histories: [string, Step[]][] = [
  [
    'a JWT that was revoked is sent in other spellings',
    [
      starts('a', jwts),
      isIssued('a JWT', 'JWT'),
      isSpelled,
      answers('a', 'a JWT', 200),
      answers('a', 'with n - s', 200),
      revokes('a', (story) => ({ token: story.token('a JWT') })),
      ...['a JWT', ...Object.keys(spellings)].map((how) => answers('a', how, 401)),
    ],
  ],
  ...[0, 3, 25].map((seconds): [string, Step[]] => [
    `a JWT is issued by a clock that is ${seconds} s ahead, and its client is revoked a second later`,
    [
      starts('a', jwts),
      serverClockIs(seconds),
      isIssued('a JWT', 'JWT'),
      answers('a', 'a JWT', 200),
      passes(1.1),
      revokes('a', () => ({ clientId: 'app' })),
      answers('a', 'a JWT', 401),
      passes(28),
      answers('a', 'a JWT', 401),
    ],
  ]),
  [
    'a JWT is issued within the second of a revocation, after it, and another one later than the tolerance',
    [
      starts('a', jwts),
      revokes('a', () => ({ subject: 'alice' })),
      isIssued('a JWT', 'JWT'),
      answers('a', 'a JWT', 401),
      passes(32),
      answers('a', 'a JWT', 401),
      isIssued('a later JWT', 'JWT'),
      answers('a', 'a later JWT', 200),
    ],
  ],
  [
    'the server revokes a token while a question of requireActive() is under way, and another request comes',
    [
      starts('a', opaque),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      answersAreHeld,
      begins('a', 'a token', '/active'),
      does((story) => vi.waitFor(() => expect(story.asked('a token')).toBe(2))),
      isRevokedAtServer('a token'),
      begins('a', 'a token', '/active'),
      does(() => new Promise((resolve) => setTimeout(resolve, 50))),
      answersArrive,
      ends(200, 401),
      does((story) => expect(story.asked('a token')).toBe(3)),
    ],
  ],
  [
    'the store is set back to before a revocation, and a process starts afterwards',
    [
      starts('a', sharing),
      listens('a'),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      does((story) => {
        const before = [...story.stored];
        expect(before).toHaveLength(1);
        story.restoreStore = () => {
          story.stored.clear();
          for (const [name, entry] of before) {
            story.stored.set(name, entry);
          }
        };
      }),
      isRevokedAtServer('a token'),
      revokes('a', () => ({ subject: 'alice' })),
      answers('a', 'a token', 401),
      does((story) => story.restoreStore()),
      starts('b', sharing),
      listens('b'),
      answers('b', 'a token', 401),
    ],
  ],
  [
    'a process whose answers serve for a moment only revokes, and a process starts that shares answers of a longer life',
    [
      starts('a', (story, name) => ({ ...sharing(story, name), cache: { maxAge: 1 } })),
      starts('b', sharing),
      listens('a'),
      listens('b'),
      isIssued('a token', 'opaque'),
      answers('b', 'a token', 200),
      isRevokedAtServer('a token'),
      revokes('a', () => ({ subject: 'alice' })),
      passes(3),
      starts('c', sharing),
      listens('c'),
      answers('c', 'a token', 401),
    ],
  ],
  [
    'a certificate is revoked by its thumbprint in hexadecimal',
    [
      starts('a', jwts),
      isIssued('a JWT', 'JWT'),
      revokes('a', () => ({ thumbprint: '00'.repeat(32) }), 'TypeError'),
      revokes('a', () => ({ tokenHash: '00'.repeat(32) }), 'TypeError'),
      revokes('a', (story) => ({ token: `Bearer ${story.token('a JWT')}` }), 'TypeError'),
      does(async (story) =>
        expect(
          await story.process('a').postRevocation(story.token('a JWT'), { 'x5t#S256': '00'.repeat(32) }),
        ).toBe(400),
      ),
      answers('a', 'a JWT', 200),
    ],
  ],
  ...[400, -400].map((seconds): [string, Step[]] => [
    `a revocation is dated by a clock that is ${seconds} s ahead`,
    [
      starts('a', listening),
      listens('a'),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      isRevokedAtServer('a token'),
      does((story) => story.publish({ subject: 'alice' }, seconds)),
      answers('a', 'a token', 200),
      does(() => expect(problems.map(({ code }) => code)).toContain('revocation_not_ours')),
    ],
  ]),
  ...[0, 5, 290].map((seconds): [string, Step[]] => [
    `a client is revoked by a clock that is ${seconds} s ahead, and gets a new token`,
    [
      starts('a', listening),
      listens('a'),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      isRevokedAtServer('a token'),
      does((story) => story.publish({ clientId: 'app' }, seconds)),
      answers('a', 'a token', 401),
      isIssued('a new token', 'opaque'),
      answers('a', 'a new token', 200),
    ],
  ]),
  [
    'the clock is set back by an hour, and the server revokes a token',
    [
      starts('a', opaque),
      isIssued('a token', 'opaque', { iat: undefined }),
      answers('a', 'a token', 200),
      isRevokedAtServer('a token'),
      clockIsSet(-3_600),
      passes(600),
      answers('a', 'a token', 401),
    ],
  ],
  [
    'the clock is set back by an hour, and a subject is revoked',
    [
      starts('a', opaque),
      isIssued('a token', 'opaque', { iat: undefined }),
      answers('a', 'a token', 200),
      clockIsSet(-3_600),
      isRevokedAtServer('a token'),
      revokes('a', () => ({ subject: 'alice' })),
      answers('a', 'a token', 401),
    ],
  ],
  [
    'a client of one issuer revokes a subject that another issuer has too',
    [
      starts('a', tenants),
      isIssued('of red', 'JWT', { iss: red }),
      isIssued('of blue', 'JWT', { iss: blue }),
      answers('a', 'of red', 200),
      answers('a', 'of blue', 200),
      does(async (story) =>
        expect(await story.process('a').postRevocation(story.token('of blue'), { sub: 'alice' })).toBe(200),
      ),
      answers('a', 'of red', 200),
      answers('a', 'of blue', 401),
    ],
  ],
  [
    'a process joins the channel after a token that it knows was revoked',
    [
      starts('a', listening),
      listens('a'),
      does((story) => story.shutOut.add('b')),
      starts('b', listening),
      isIssued('a token', 'opaque'),
      answers('b', 'a token', 200),
      isRevokedAtServer('a token'),
      revokes('a', (story) => ({ token: story.token('a token') })),
      does((story) => story.shutOut.delete('b')),
      listens('b'),
      answers('b', 'a token', 401),
      passes(10),
      answers('b', 'a token', 401),
    ],
  ],
  [
    'the channel is interrupted and comes back, where opaque tokens stand next to JWTs',
    [
      starts('a', (story, name) => ({ ...mixed(story), ...story.listening(name) })),
      listens('a'),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      does((story) => story.listeners.get('a')?.interrupted()),
      isRevokedAtServer('a token'),
      passes(1.1),
      answers('a', 'a token', 401),
    ],
  ],
  [
    'the channel comes back, where opaque tokens stand next to JWTs',
    [
      starts('a', (story, name) => ({ ...mixed(story), ...story.listening(name) })),
      listens('a'),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      does((story) => story.listeners.get('a')?.interrupted()),
      isRevokedAtServer('a token'),
      does((story) => story.listeners.get('a')?.restored()),
      answers('a', 'a token', 401),
    ],
  ],
  [
    'another subject is revoked, and a token has no iat',
    [
      starts('a', ownSource(false, ['iat'])),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      revokes('a', () => ({ subject: 'bob' })),
      answers('a', 'a token', 200),
      isIssued('a new token', 'opaque'),
      answers('a', 'a new token', 200),
      revokes('a', () => ({ subject: 'alice' })),
      answers('a', 'a token', 401),
    ],
  ],
  [
    'the subject "undefined" is revoked, and a token has no subject',
    [
      starts('a', ownSource(false, ['sub'])),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      revokes('a', () => ({ subject: 'undefined' })),
      answers('a', 'a token', 200),
    ],
  ],
  [
    'a token is revoked elsewhere after a process was closed',
    [
      starts('a', listening),
      starts('b', listening),
      listens('a'),
      listens('b'),
      isIssued('a token', 'opaque'),
      answers('b', 'a token', 200),
      does((story) => story.process('b').server.close()),
      isRevokedAtServer('a token'),
      revokes('a', (story) => ({ token: story.token('a token') })),
      passes(1.1),
      answers('b', 'a token', 503),
    ],
  ],
  [
    'a subject is revoked, and a token source of a user asks a server',
    [
      starts('a', ownSource(true)),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      revokes('a', () => ({ subject: 'alice' })),
      answers('a', 'a token', 200),
      does((story) => expect(story.asked('a token')).toBe(2)),
      isRevokedAtServer('a token'),
      revokes('a', () => ({ subject: 'alice' })),
      answers('a', 'a token', 401),
    ],
  ],
  [
    'a subject is revoked, and a token source of a user asks no server',
    [
      starts('a', ownSource(false)),
      isIssued('a token', 'opaque'),
      answers('a', 'a token', 200),
      revokes('a', () => ({ subject: 'alice' })),
      answers('a', 'a token', 401),
      does((story) => expect(story.asked('a token')).toBe(1)),
    ],
  ],
  [
    'a process hears of a revocation that another one made',
    [
      starts('a', listening),
      starts('b', listening),
      listens('a'),
      listens('b'),
      isIssued('a token', 'opaque'),
      answers('b', 'a token', 200),
      isRevokedAtServer('a token'),
      revokes('a', () => ({ session: 'another' })),
      answers('b', 'a token', 200),
      revokes('a', () => ({ subject: 'alice', issuer: red })),
      settlesOn('b', 'a token', 401),
    ],
  ],
];

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
beforeEach(() => holdClocks());
afterEach(() => releaseClocks());

describe.each(frameworks)('%s: each request is answered as it should where', (framework) => {
  it.each(histories)('%s', async (_title, steps) => {
    const story = await Story.of(framework);
    try {
      for (const step of steps) {
        await step(story);
      }
    } finally {
      await story.end();
    }
  });
});
