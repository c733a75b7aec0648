// What two resource servers may learn from each other through the shared tier, and what they believe of it.
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import {
  activeTokenPolicy,
  createResourceServer,
  type IssuerOptions,
  introspection,
  type ResourceServerOptions,
  type TokenSource,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createSeal } from '../../../packages/core/src/shared/sealing.js';
import { audience } from '../../support/audience.js';
import { createIssuer } from '../../support/log-process.js';
import {
  boundClaims,
  gate,
  optionsOver,
  outcomeOf,
  type PretendServer,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const secret = 'a secret of at least 32 characters';
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

function storeOf(values = new Map<string, string>()) {
  return {
    values,
    get: async (name: string): Promise<unknown> => values.get(name),
    set: async (name: string, value: string): Promise<unknown> => values.set(name, value),
  };
}

/** A process of a fleet, with a memory of its own and the shared tier. */
function member(server: PretendServer, store: object, more: ResourceServerOptions = {}) {
  const sharedCache = { store, secret, timeout: 5 } as ResourceServerOptions['sharedCache'] & object;
  const options = optionsOver(server, kit.certificate, { sharedCache, ...more });
  const resourceServer = createResourceServer(options);
  return (token: string) => outcomeOf(() => resourceServer.authorize(requestWith(token)));
}

const other = 'https://other.example.com';
const good = (issuer = 'https://as.example.com') =>
  pretendServer(() => boundClaims(kit.certificate, { aud: [audience, other], token_type: 'Bearer' }), issuer);

describe('an answer of the shared tier serves only where every part of its key is the same', () => {
  it('the same token, issuer, client and audience: the authorization server is asked once', async () => {
    const store = storeOf();
    const [first, second] = [good(), good()];
    expect(await member(first, store)('token')).toBe('admitted');
    expect(await member(second, store)('token')).toBe('admitted');
    expect([first.asked, second.asked]).toEqual([['token'], []]);
  });

  it.each<[string, string, string, ResourceServerOptions]>([
    ['another token', 'token-2', 'https://as.example.com', {}],
    ['another issuer', 'token', 'https://as2.example.com', {}],
    ['another client id', 'token', 'https://as.example.com', { clientId: 'api-2' }],
    ['another audience', 'token', 'https://as.example.com', { audience: other }],
    ['one more audience', 'token', 'https://as.example.com', { audience: [audience, other] }],
    [
      'an audience that the server enforces',
      'token',
      'https://as.example.com',
      { audience: 'server-enforced' },
    ],
    [
      'other parameters',
      'token',
      'https://as.example.com',
      { tokens: introspection({ parameters: { resource: other } }) },
    ],
    [
      'a hint of the type',
      'token',
      'https://as.example.com',
      { tokens: introspection({ tokenTypeHint: true }) },
    ],
    [
      'a 400 that means inactive',
      'token',
      'https://as.example.com',
      { tokens: introspection({ badRequestMeansInactive: true }) },
    ],
  ])('%s: its own authorization server is asked', async (_title, token, issuer, more) => {
    const store = storeOf();
    await member(good(), store)('token');
    const second = good(issuer);
    expect(await member(second, store, more)(token)).toBe('admitted');
    expect(second.asked).toEqual([token]);
    // The two answers stand next to each other: neither replaced the other.
    expect([...store.values.keys()].filter((name) => name.includes(':token:'))).toHaveLength(2);
  });

  it('the same parameters in another order: the authorization server is asked once', async () => {
    const store = storeOf();
    const asking = (parameters: Record<string, string>) => ({ tokens: introspection({ parameters }) });
    const [first, second] = [good(), good()];
    expect(await member(first, store, asking({ a: '1', b: '2' }))('token')).toBe('admitted');
    expect(await member(second, store, asking({ b: '2', a: '1' }))('token')).toBe('admitted');
    expect([first.asked, second.asked]).toEqual([['token'], []]);
  });

  it('a source that filters introspection() shares nothing, and learns nothing', async () => {
    const filtering: TokenSource = (access) => {
      const ask = introspection()(access);
      const read = async (token: string) => ask(token);
      return Object.assign(read, { kind: 'introspection' } as const);
    };
    const store = storeOf();
    const server = good();
    for (const more of [{ tokens: filtering }, {}, { tokens: filtering }, {}]) {
      expect(await member(server, store, more)('token')).toBe('admitted');
    }
    // The last one learns from the second.
    expect(server.asked).toHaveLength(3);
  });

  it('a JWT of one issuer in a list is never looked for or kept, also where it is introspected', async () => {
    const issuer = await createIssuer();
    const {
      certificate: _certificate,
      floodGuard: _floodGuard,
      ...jwts
    } = issuer.forJwtsAndQuestions as ResourceServerOptions;
    const other = {
      issuer: 'https://opaque.example.com',
      audience,
      clientId: 'api',
      clientSecret: 'a-secret',
    };
    const store = { get: vi.fn(async () => undefined), set: vi.fn(async () => true) };
    const lock = { acquire: vi.fn(async () => true), release: vi.fn(async () => undefined) };
    const resourceServer = createResourceServer({
      certificate: () => issuer.kit.certificate,
      floodGuard: false,
      issuers: [jwts as IssuerOptions, other],
      sharedCache: { store, lock, secret },
    });
    const request = requestWith(await issuer.jwt());
    const authorization = await resourceServer.authorize(request);
    await resourceServer.require(request, authorization, activeTokenPolicy);
    for (const used of [store.get, store.set, lock.acquire, lock.release]) {
      expect(used).not.toHaveBeenCalled();
    }
    await resourceServer.close();
  });

  it('another secret: its own authorization server is asked', async () => {
    const store = storeOf();
    await member(good(), store)('token');
    const second = good();
    const sharedCache = { store, secret: 'another secret of at least 32 characters' };
    expect(await member(second, store, { sharedCache })('token')).toBe('admitted');
    expect(second.asked).toEqual(['token']);
  });

  it('an answer of one issuer that was moved to the name of another is not opened', async () => {
    const store = storeOf();
    await member(good(), store)('token');
    const [sealed = ''] = store.values.values();
    const moved = { ...store, get: async () => sealed };
    const second = good('https://as2.example.com');
    expect(await member(second, moved)('token')).toBe('admitted');
    expect(second.asked).toEqual(['token']);
  });
});

describe('what was not sealed with our secret grants nothing, whatever form it has', () => {
  /** What a process seals: a test of one that no process would understand shows nothing. */
  let text: string;
  beforeAll(async () => {
    const store = storeOf();
    await member(good(), store)('token');
    const [[name, sealed] = ['', '']] = store.values;
    text = createSeal(secret, 'tokens').open(name, sealed) ?? '';
    expect(JSON.parse(text)).toMatchObject({ issuer: 'https://as.example.com' });
  });
  const answer = () => JSON.parse(text);

  it.each<[string, () => unknown]>([
    ['the answer as JSON', () => text],
    ['the answer as an object', answer],
    ['the answer as Keyv wraps values', () => ({ value: answer(), expires: Date.now() + 60_000 })],
    ['the claims as JSON', () => JSON.stringify(answer().claims)],
    ['the answer as base64url of JSON', () => Buffer.from(text).toString('base64url')],
    ['the answer as bytes', () => Buffer.from(text)],
    ['a list with the answer', () => [text]],
    ['the answer as JSON with white space before it', () => ` ${text}`],
    ['the answer as a String object', () => new String(text)],
  ])('%s', async (_title, stored) => {
    const inactive = pretendServer(() => ({ active: false }));
    const store = {
      ...storeOf(),
      get: async (name: string) => (name.includes('token') ? stored() : undefined),
    };
    expect(await member(inactive, store)('token')).toBe('token_inactive');
    expect(inactive.asked).toEqual(['token']);
  });
});

describe('the seal', () => {
  const derived = (use: string) => Buffer.from(hkdfSync('sha256', secret, '', `mtls-bound ${use}`, 32));
  /** Encrypts as the seal does, with a tag of another length. */
  function sealedBy(key: Buffer, name: string, text: string, authTagLength = 16): string {
    const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12, 7), { authTagLength });
    cipher.setAAD(Buffer.from(name));
    const parts = [Buffer.alloc(12, 7), cipher.update(text), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(parts).toString('base64url');
  }

  it.each(['tokens', 'revocation'])('%s: names and values have keys of their own', (purpose) => {
    const seal = createSeal(secret, purpose);
    const [names, values] = [derived(`${purpose} names`), derived(`${purpose} values`)];
    expect(seal.nameOf('key')).toBe(createHmac('sha256', names).update('key').digest('base64url'));
    expect(seal.nameOf('key')).not.toBe(createHmac('sha256', values).update('key').digest('base64url'));
    expect(seal.open('name', sealedBy(values, 'name', 'text'))).toBe('text');
    expect(seal.open('name', sealedBy(names, 'name', 'text'))).toBeUndefined();
    const bytes = Buffer.from(seal.seal('name', 'text'), 'base64url');
    const opened = (key: Buffer) => {
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 });
      decipher.setAAD(Buffer.from('name')).setAuthTag(bytes.subarray(-16));
      return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString();
    };
    expect(opened(values)).toBe('text');
    expect(() => opened(names)).toThrow();
  });

  it.each([4, 8, 12, 13, 14, 15])('a tag of %i bytes is not accepted', (length) => {
    const values = derived('tokens values');
    const seal = createSeal(secret, 'tokens');
    for (const text of ['', 'text', 'a text of more than sixteen bytes']) {
      expect(seal.open('name', sealedBy(values, 'name', text, length))).toBeUndefined();
    }
  });

  it('its tag has 16 bytes, its nonce 12, and no nonce comes twice', () => {
    const seal = createSeal(secret, 'tokens');
    expect(Buffer.from(seal.seal('name', ''), 'base64url')).toHaveLength(28);
    const nonces = Array.from({ length: 200 }, () => seal.seal('name', 'text').slice(0, 16));
    expect(new Set(nonces).size).toBe(200);
  });
});

describe('requests that wait for one answer', () => {
  const blue = 'https://blue.example.com';
  const red = 'https://red.example.com';

  /** Two issuers, chosen by a header; one opaque token that only red knows. */
  function twoIssuers() {
    const waiting = gate();
    const asked: string[] = [];
    const serverOf = (issuer: string, answer: () => object) =>
      pretendServer(async () => {
        asked.push(issuer);
        await waiting.opened;
        return answer();
      }, issuer);
    const servers = [
      serverOf(red, () => boundClaims(kit.certificate)),
      serverOf(blue, () => ({ active: false })),
    ];
    const fetch = ((url: string, init: RequestInit) =>
      servers.find(({ issuer }) => url.startsWith(issuer))?.fetch(url, init)) as typeof globalThis.fetch;
    const server = createResourceServer({
      audience,
      issuers: [red, blue].map((issuer) => ({ issuer, clientId: 'api', clientSecret: 'a-client-secret' })),
      selectIssuer: (req) => String(req.headers['x-issuer']),
      certificate: () => kit.certificate,
      http: { fetch },
    });
    return { server, asked, waiting };
  }
  const at = (issuer: string) => requestWith('one-token', { 'x-issuer': issuer });

  it('of one token at two issuers: each is asked, and each answer goes to its own request', async () => {
    const { server, asked, waiting } = twoIssuers();
    const outcomes = [red, blue].map((issuer) => outcomeOf(() => server.authorize(at(issuer))));
    waiting.open();
    expect(await Promise.all(outcomes)).toEqual(['admitted', 'token_inactive']);
    expect(asked.toSorted()).toEqual([blue, red]);
    // What was learnt of one is not what is known of the other.
    expect(await outcomeOf(() => server.authorize(at(blue)))).toBe('token_inactive');
    expect(await outcomeOf(() => server.authorize(at(red)))).toBe('admitted');
  });

  it('for requireActive(): the server is asked again while an answer is still on its way', async () => {
    const { activeTokenPolicy } = await import('@mtls-bound/core');
    const waiting = gate();
    const server = pretendServer(async (token) => {
      if (token === 'token' && server.asked.length > 1) {
        await waiting.opened;
      }
      return boundClaims(kit.certificate);
    });
    const resourceServer = createResourceServer(
      optionsOver(server, kit.certificate, { cache: { maxAge: 0 } }),
    );
    const first = requestWith('token');
    const authorization = await resourceServer.authorize(first);
    // The second question, which an ordinary request causes, is under way.
    const second = outcomeOf(() => resourceServer.authorize(requestWith('token')));
    await vi.waitFor(() => expect(server.asked).toHaveLength(2));
    const confirmed = Promise.resolve(resourceServer.require(first, authorization, activeTokenPolicy));
    await vi.waitFor(() => expect(server.asked).toHaveLength(3));
    waiting.open();
    await Promise.all([confirmed, second]);
  });

  it('for requireActive(): an answer that a slow shared tier is about to give does not serve', async () => {
    const { activeTokenPolicy } = await import('@mtls-bound/core');
    const values = new Map<string, string>();
    await member(good(), storeOf(values))('token');
    let isActive = true;
    const server = pretendServer(() => (isActive ? boundClaims(kit.certificate) : { active: false }));
    const waiting = gate();
    let isSlow = false;
    const store = {
      ...storeOf(values),
      get: async (name: string) => {
        if (isSlow && name.includes(':token:')) {
          await waiting.opened;
        }
        return values.get(name);
      },
    };
    const resourceServer = createResourceServer(
      optionsOver(server, kit.certificate, {
        cache: { maxAge: 0.05 },
        sharedCache: { store, secret, timeout: 5 },
      }),
    );
    const first = requestWith('token');
    const authorization = await resourceServer.authorize(first);
    isActive = false;
    isSlow = true;
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      vi.setSystemTime(Date.now() + 1_000);
      const joining = outcomeOf(() => resourceServer.authorize(requestWith('token')));
      const confirmed = outcomeOf(() => resourceServer.require(first, authorization, activeTokenPolicy));
      await vi.waitFor(() => expect(server.asked).toHaveLength(1));
      waiting.open();
      expect(await confirmed).toBe('token_inactive');
      await joining;
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a token that the authorization server called not active', () => {
  /** The wall clock and the monotonic clock stand at so many seconds from now on. */
  function wait(seconds: number): void {
    const [wall, monotonic] = [Date.now() + seconds * 1_000, performance.now() + seconds * 1_000];
    vi.spyOn(Date, 'now').mockReturnValue(wall);
    vi.spyOn(performance, 'now').mockReturnValue(monotonic);
  }
  const warning = () => vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  afterEach(() => {
    vi.restoreAllMocks();
    warning();
  });

  it.each([
    // The clock of the other process may be ahead by 5 s: it may have asked before.
    ['may be older than that, is not used', 4, 2],
    ['is newer, is used', 6, 1],
  ])('an answer of another process that %s', async (_title, seconds, asked) => {
    const store = storeOf();
    let isActive = false;
    const server = pretendServer(() => (isActive ? boundClaims(kit.certificate) : { active: false }));
    const ask = member(server, store, { cache: { rejectionMaxAge: 1 } });
    expect(await ask('token')).toBe('token_inactive');
    wait(seconds);
    isActive = true;
    expect(await member(good(), store)('token')).toBe('admitted');
    expect(await ask('token')).toBe('admitted');
    expect(server.asked).toHaveLength(asked);
  });

  it('does not pass by a question that began before, and is answered later', async () => {
    const { activeTokenPolicy } = await import('@mtls-bound/core');
    const waiting = gate();
    const server = pretendServer(async () => {
      const turn = server.asked.length;
      if (turn === 2) {
        await waiting.opened;
      }
      return turn > 2 ? { active: false } : boundClaims(kit.certificate);
    });
    const resourceServer = createResourceServer(
      optionsOver(server, kit.certificate, { cache: { maxAge: 0, rejectionMaxAge: 0 } }),
    );
    const request = requestWith('token');
    const authorization = await resourceServer.authorize(request);
    const plain = outcomeOf(() => resourceServer.authorize(requestWith('token')));
    await vi.waitFor(() => expect(server.asked).toHaveLength(2));
    expect(await outcomeOf(() => resourceServer.require(request, authorization, activeTokenPolicy))).toBe(
      'token_inactive',
    );
    waiting.open();
    expect(await plain).toBe('token_inactive');
  });
});
