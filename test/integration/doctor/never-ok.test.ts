// A check of the doctor never says ok of something that is broken: each is given every way to be broken.
import { ClientCertificate } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it, vi } from 'vitest';
import { checkStores } from '../../../packages/core/src/doctor/store-checks.js';
import { checkToken } from '../../../packages/core/src/doctor/token-checks.js';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { textOfEntry } from '../../../packages/core/src/revocation/log-entry.js';
import { ENTRY_SEAL } from '../../../packages/core/src/revocation/log-seals.js';
import { createSeal } from '../../../packages/core/src/shared/sealing.js';
import { readTokenClaims } from '../../../packages/core/src/token/token-claims.js';
import { MemoryLog } from '../../support/memory-log.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

const secret = 'a secret of at least 32 characters';
const statusesOf = (findings: readonly { status: string; code: string }[]) =>
  findings.map(({ status, code }) => `${status} ${code}`);

describe('the shared store', () => {
  const values = new Map<string, unknown>();
  const good = {
    get: async (name: string): Promise<unknown> => values.get(name),
    set: async (name: string, value: unknown): Promise<unknown> => values.set(name, value),
  };
  const check = async (store: object) =>
    statusesOf(
      await checkStores(
        resolveSettings({ ...kit.options, sharedCache: { store: store as typeof good, secret } }, {}),
      ),
    );

  it('that keeps what it is given is ok', async () => {
    expect(await check(good)).toEqual(['ok shared_store']);
  });

  it.each<[string, Partial<Record<keyof typeof good, (...given: never[]) => unknown>>]>([
    ['forgets', { get: async () => undefined }],
    ['says null', { get: async () => null }],
    ['always says the same', { get: async () => 'always' }],
    ['says true', { get: async () => true }],
    ['gives an object around it', { get: async () => ({ value: 'here' }) }],
    ['rejects get', { get: async () => Promise.reject(new Error('ECONNREFUSED')) }],
    ['rejects set', { set: async () => Promise.reject(new Error('READONLY')) }],
    [
      'throws',
      {
        get: () => {
          throw new Error('no connection');
        },
      },
    ],
  ])('that %s is a problem', async (_title, broken) => {
    expect(await check({ ...good, ...broken })).toEqual(['problem shared_store_unreachable']);
  });

  it('shows no address that an error of it quotes', async () => {
    const set = async () => Promise.reject(new Error('redis://user:secret-31415@127.0.0.1'));
    const settings = resolveSettings(
      { ...kit.options, sharedCache: { store: { ...good, set }, secret } },
      {},
    );
    const [finding] = await checkStores(settings);
    expect(finding?.code).toBe('shared_store_unreachable');
    expect(finding?.message).not.toContain('secret-31415');
  });

  it.each(['get', 'set'] as const)('whose %s never answers is a problem', async (method) => {
    expect(await check({ ...good, [method]: () => new Promise(() => undefined) })).toEqual([
      'problem shared_store_unreachable',
    ]);
  });
});

describe('the log of revocations', () => {
  const check = async (read: () => Promise<unknown>): Promise<string[]> => {
    const log = { setHeader: async () => '', append: async () => '', read } as never;
    const findings = await checkStores(resolveSettings({ ...kit.options, revocations: { secret, log } }, {}));
    return findings.map(({ status, code }) => `${status} ${code}`);
  };

  it('that is read is ok', async () => {
    expect(await check(async () => ({ name: undefined, lastGiven: undefined, entries: [] }))).toEqual([
      'ok revocation_log',
    ]);
  });

  it.each([
    ['rejects', () => Promise.reject(new Error('NOPERM'))],
    ['never answers', () => new Promise(() => undefined)],
  ])('that %s is a problem', async (_what, read) => {
    expect(await check(read)).toEqual(['problem revocation_log_unreachable']);
  });
});

describe('the newest entry of the log of revocations', () => {
  const check = async (log: MemoryLog): Promise<string[]> => {
    const findings = await checkStores(resolveSettings({ ...kit.options, revocations: { secret, log } }, {}));
    return findings.map(({ status, code, message }) => `${status} ${code}: ${message}`);
  };
  const entry = (at: number, by = secret) =>
    createSeal(by, ENTRY_SEAL).seal(
      ENTRY_SEAL,
      textOfEntry({
        writer: 'one',
        number: 1,
        at,
        lastRead: undefined,
        lastOwn: undefined,
        version: 0,
        syncedSince: undefined,
        attested: undefined,
        notice: undefined,
        noticeAge: 0,
        noticeCalls: 1,
      }),
    );
  /** A log with more entries than a page has, before the newest one. */
  const logWith = async (newest: string): Promise<MemoryLog> => {
    const log = new MemoryLog();
    for (let number = 0; number < 24; number += 1) {
      await log.append(entry(Date.now() - 3_600_000));
    }
    await log.append(newest);
    return log;
  };

  it('of now is ok', async () => {
    expect(await check(await logWith(entry(Date.now())))).toEqual([
      expect.stringMatching(/^ok revocation_log: .*25 entries, the newest was written \d s ago$/),
    ]);
  });

  it('of more than a minute ago is a warning', async () => {
    expect(await check(await logWith(entry(Date.now() - 100_000)))).toEqual([
      expect.stringMatching(/^warning revocation_log_quiet: the newest of 25 entries .* 10\d s ago$/),
    ]);
  });

  it.each([
    ['sealed with another secret', () => entry(Date.now(), 'another secret of 32 characters or so')],
    ['of something else', () => 'text'],
  ])('%s is a problem', async (_title, newest) => {
    expect(await check(await logWith(newest()))).toEqual([
      expect.stringMatching(/^problem revocation_log_not_ours: /),
    ]);
  });
});

describe('the channel for revocations', () => {
  const check = async (subscribe: () => unknown) =>
    statusesOf(
      await checkStores(
        resolveSettings(
          {
            ...kit.options,
            revocations: { secret, channel: { publish: async () => undefined, subscribe } as never },
          },
          {},
        ),
      ),
    );

  it('that can be joined is ok, and is left again', async () => {
    const leave = vi.fn(async () => undefined);
    expect(await check(async () => leave)).toEqual(['ok revocation_channel']);
    expect(leave).toHaveBeenCalledOnce();
  });

  it.each<[string, () => unknown]>([
    ['rejects', async () => Promise.reject(new Error('ECONNREFUSED'))],
    ['gives nothing to leave it by', async () => undefined],
    ['never answers', () => new Promise(() => undefined)],
    [
      'throws',
      () => {
        throw new Error('no connection');
      },
    ],
  ])('that %s is a problem', async (_title, subscribe) => {
    expect(await check(subscribe)).toEqual(['problem revocation_channel_unreachable']);
  });
});

describe('a token', () => {
  const issuer = 'https://as.example.com';
  const audience = 'https://api.example.com';
  const now = () => Math.floor(Date.now() / 1000);
  const rules = { issuer, audience: [audience], clockTolerance: 30 };

  async function check(
    changes: Record<string, unknown> | 'token_inactive' | 'token_claims_malformed' | Error,
    certificate?: ClientCertificate,
    expectations = { mustBind: true, saysItBinds: true, acceptsDpop: false },
    key?: string,
  ) {
    const claims = {
      iss: issuer,
      aud: audience,
      sub: 'user-1',
      client_id: 'alice',
      iat: now(),
      exp: now() + 300,
      cnf: { 'x5t#S256': kit.certificate.thumbprint },
    };
    const read = async () => {
      if (changes instanceof Error) {
        throw changes;
      }
      return typeof changes === 'string' ? changes : readTokenClaims({ ...claims, ...changes }, issuer);
    };
    const authority = { read: Object.assign(read, { kind: 'introspection' } as const), rules };
    return checkToken(authority as never, 'token', { certificate, key }, expectations);
  }

  it('that is good, with its own certificate, is ok', async () => {
    expect(statusesOf(await check({}, kit.certificate))).toEqual(['ok token', 'ok binding']);
  });

  it.each<[string, Parameters<typeof check>[0]]>([
    ['inactive', 'token_inactive'],
    ['with malformed claims', 'token_claims_malformed'],
    ['that the server fails at', new Error('503')],
    ['expired', { exp: 1 }],
    ['not yet valid', { nbf: now() + 3_600 }],
    ['issued in the future', { iat: now() + 3_600 }],
    ['for another audience', { aud: 'https://other.example.com' }],
    ['for no audience', { aud: undefined }],
    ['of another issuer', { iss: 'https://other.example.com' }],
    ['of another type', { token_type: 'refresh_token' }],
    ['bound to nothing', { cnf: undefined }],
    ['bound by another method', { cnf: { jkt: 'x' } }],
    ['bound by two methods', { cnf: { 'x5t#S256': 'x', jkt: 'x' } }],
    ['bound to no text', { cnf: { 'x5t#S256': 7 } }],
  ])('%s is a problem', async (_title, changes) => {
    const findings = await check(changes, kit.certificate);
    expect(findings.filter(({ status }) => status === 'problem').length).toBeGreaterThan(0);
    expect(findings.every(({ status, fix }) => status === 'ok' || (fix ?? '') !== '')).toBe(true);
  });

  it('of another certificate is a problem', async () => {
    const findings = statusesOf(await check({}, kit.otherCertificate));
    expect(findings).not.toContain('ok binding');
    expect(findings.filter((finding) => finding.startsWith('problem'))).toHaveLength(1);
    const byHash = new ClientCertificate({ thumbprint: kit.otherCertificate.thumbprint });
    expect(statusesOf(await check({}, byHash))).toEqual(findings);
  });

  it('bound to nothing is a warning where it need not be bound, never ok', async () => {
    for (const saysItBinds of [true, false]) {
      const findings = await check({ cnf: undefined }, kit.certificate, {
        mustBind: false,
        saysItBinds,
        acceptsDpop: false,
      });
      expect(findings.map(({ status }) => status)).toEqual(['ok', 'warning']);
    }
  });

  it('without a certificate to compare it with, nothing is said of its binding', async () => {
    expect(statusesOf(await check({}))).toEqual(['ok token']);
  });

  describe('that is bound to a key', () => {
    const { thumbprint: x5t } = kit.certificate;
    const { thumbprint: jkt } = kit.key;
    const dpop = { mustBind: true, saysItBinds: true, acceptsDpop: true };
    const off = { ...dpop, acceptsDpop: false };
    const other = kit.otherKey.thumbprint;
    const both = { jkt, 'x5t#S256': x5t };

    it.each<[string, object, { key?: string; certificate?: ClientCertificate }, typeof dpop, string]>([
      ['its own key', { jkt }, { key: jkt }, dpop, 'ok binding'],
      [
        'its own key, and any certificate',
        { jkt },
        { key: jkt, certificate: kit.certificate },
        dpop,
        'ok binding',
      ],
      ['no key to compare it with', { jkt }, {}, dpop, 'ok binding'],
      ['another key', { jkt }, { key: other }, dpop, 'problem dpop_key_mismatch'],
      ['a malformed thumbprint', { jkt: 'x' }, {}, dpop, 'problem token_bound_otherwise'],
      ['no text', { jkt: 7 }, {}, dpop, 'problem token_bound_otherwise'],
      [
        'a further method',
        { jkt, kid: 'k' },
        { key: jkt, certificate: kit.certificate },
        dpop,
        'problem token_bound_otherwise',
      ],
      ['both, both right', both, { key: jkt, certificate: kit.certificate }, dpop, 'ok binding'],
      [
        'both, another key',
        both,
        { key: other, certificate: kit.certificate },
        dpop,
        'problem dpop_key_mismatch',
      ],
      [
        'both, another certificate',
        both,
        { key: jkt, certificate: kit.otherCertificate },
        dpop,
        'problem certificate_mismatch',
      ],
      ['an API without dpop', { jkt }, { key: jkt }, off, 'problem dpop_off'],
      [
        'both, an API without dpop',
        both,
        { key: jkt, certificate: kit.certificate },
        off,
        'problem dpop_off',
      ],
      [
        'a key, and the token names none',
        { 'x5t#S256': x5t },
        { key: jkt },
        dpop,
        'problem dpop_token_unbound',
      ],
    ])('%s', async (_title, cnf, { key, certificate }, expectations, finding) => {
      const findings = await check({ cnf, token_type: 'DPoP' }, certificate, expectations, key);
      const expected =
        'jkt' in cnf ? ['ok token', finding] : ['ok token', 'problem token_wrong_type', finding];
      expect(statusesOf(findings)).toEqual(expected);
    });
  });
});
