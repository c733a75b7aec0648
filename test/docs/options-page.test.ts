import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { introspection, jwtAccessTokens, nginx, proxyHeader, tlsSocket } from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import { resolveSettings } from '../../packages/core/src/options/resource-server-options.js';
import { mismatch } from '../support/mismatch.js';
import {
  type Documented,
  documentedOptions,
  linkedPaths,
  optionTable,
  refusalOf,
  taken,
} from './option-table.js';
import { ofFunctions, ofResourceServer } from './option-takers.js';
import { root } from './pages.js';

const page = join(root, 'docs/reference/options.md');
const ours = documentedOptions(ofResourceServer);
const all = [...ours, ...ofFunctions.flatMap(documentedOptions)];

/** The options that a table names in its comment: each with its members. */
const named = (words: string): Documented[] =>
  words.split(' ').flatMap((word) => all.filter(({ path }) => path === word || path.startsWith(`${word}.`)));

const tables = /<!-- options: (.+) -->\n[\s\S]*?<!-- \/options -->/g;

it('each table is what comments and rules say', () => {
  const written = readFileSync(page, 'utf8');
  const synced = written.replaceAll(
    tables,
    (_all, words) => `<!-- options: ${words} -->\n\n${optionTable(named(words))}\n\n<!-- /options -->`,
  );
  if (process.env.SYNC_DOCS === '1') {
    writeFileSync(page, synced);
  }
  expect(readFileSync(page, 'utf8')).toBe(synced);
});

it('each option is in one table', () => {
  const shown = [...readFileSync(page, 'utf8').matchAll(tables)].flatMap(([, words = '']) => named(words));
  expect(shown.map(({ path }) => path).toSorted()).toEqual(all.map(({ path }) => path).toSorted());
});

describe('an error says what the table says', () => {
  it.each(all.filter(({ accepted }) => accepted !== undefined))('$path', ({ taker, path, accepted = '' }) => {
    // No option takes a symbol.
    const { message } = refusalOf(taker, path, Symbol('nothing')) ?? {};
    expect(message).toMatch(/, got (?:a symbol|a value of type symbol)$/);
    expect(message?.startsWith(`${path}: expected ${accepted}`)).toBe(true);
  });
});

it('every option has its row, and every link its option', () => {
  const paths = all.map(({ path }) => path);
  expect(paths.length).toBeGreaterThan(80);
  expect(paths).toEqual(
    expect.arrayContaining(['cache.maxAge', 'certificatePolicy.san.ip', 'http.ca', ...linkedPaths]),
  );
});

describe('a default is what nothing given means', () => {
  it.each(all.filter(({ isValue }) => isValue))('$path: $fallback', async (option) => {
    const stated = writtenIn(option.fallback);
    expect(await seenWith(option, stated)).toBe(await seenWith(option, undefined));
    const other = otherThan(stated, option);
    if (other !== undefined) {
      expect(await seenWith(option, other)).not.toBe(await seenWith(option, undefined));
    }
  });
});

describe('what is required is missed', () => {
  it.each(all.filter(({ isRequired }) => isRequired))('$path', ({ taker, path }) => {
    expect(refusalOf(taker, path, undefined)?.message).toMatch(
      /, got (?:nothing(?:, and the environment variable \w+ is not set)?|neither)$/,
    );
  });
});

describe('limits', () => {
  const ofNumbers = all.filter(
    ({ accepted }) => accepted?.startsWith('a number') || accepted?.startsWith('a whole'),
  );

  it('are stated of each number, and of nothing else', () => {
    expect(ofNumbers.length).toBeGreaterThan(20);
    expect(all.filter(({ limits }) => limits !== undefined)).toEqual(ofNumbers);
  });

  it.each(ofNumbers)('$path: $limits', ({ taker, path, accepted = '', limits }) => {
    const { min: least, max: most } = limits ?? { min: Number.NaN, max: Number.NaN };
    expect(accepted).toMatch(new RegExp(` from ${least} to ${most}$`));
    const step = accepted.startsWith('a whole number') ? 1 : 0.001;
    for (const outside of [least - step, most + step]) {
      expect(refusalOf(taker, path, outside)?.message).toMatch(
        mismatch(`${path}`, `${String(outside).length < 8 ? outside : 'a number'}`),
      );
    }
    expect([least, most].map((inside) => refusalOf(taker, path, inside))).toEqual([undefined, undefined]);
  });

  it('of refreshAhead end below half of maxAge', () => {
    const refused = (refreshAhead: number) => () =>
      resolveSettings({ ...ofResourceServer.base, cache: { maxAge: 60, refreshAhead } }, {});
    expect(refused(30)).toThrow(mismatch('cache.refreshAhead', '30'));
    expect(refused(29.9)).not.toThrow();
  });

  it.each(['fapi1-advanced', 'fapi2-security'])('beside the profile %s', (profile) => {
    const refused = (options: object) => () =>
      resolveSettings({ ...ofResourceServer.base, profile, ...options }, {});
    for (const clockTolerance of [9.9, 60.1]) {
      expect(refused({ clockTolerance })).toThrow('expected 10 to 60 seconds');
    }
    expect(refused({ clockTolerance: 10 })).not.toThrow();
    expect(refused({ clockTolerance: 60 })).not.toThrow();
    expect(refused({ cache: { staleIfError: 0.001 } })).toThrow(mismatch('cache.staleIfError', '0.001'));
  });
});

describe('environment', () => {
  const options = ours.filter(({ variable }) => variable !== undefined);

  it.each(options)('$path is read from $variable where it was not given', ({ path, variable }) => {
    expect(variablesReadWithout(path)).toContain(variable);
  });

  it('nothing else is read', () => {
    const read = new Set(['clientSecret', ...options.map(({ path }) => path)].flatMap(variablesReadWithout));
    expect([...read].toSorted()).toEqual(['NODE_ENV', ...options.map(({ variable }) => variable)].toSorted());
  });
});

/** A stated default, as a program would write it. */
function writtenIn(text: string): unknown {
  const [, code] = /^`(.+)`$/.exec(text) ?? [];
  if (code === undefined) {
    return Number(text.replaceAll(',', ''));
  }
  const values: Record<string, unknown> = {
    true: true,
    false: false,
    '{}': {},
    'tlsSocket()': tlsSocket(),
    'introspection()': introspection(),
    "['at+jwt']": ['at+jwt'],
    "['sub', 'client_id', 'iat', 'jti']": ['sub', 'client_id', 'iat', 'jti'],
  };
  return code in values ? values[code] : code;
}

/** Something else that is accepted: what shows that the default would be seen. */
function otherThan(stated: unknown, { path, limits, accepted = '' }: Documented): unknown {
  if (limits !== undefined) {
    return [limits.min, limits.max].find((value) => value !== stated);
  }
  if (typeof stated === 'boolean') {
    return !stated;
  }
  const others: Record<string, unknown> = {
    certificate: proxyHeader(nginx(), { trust: 'loopback' }),
    tokens: jwtAccessTokens(),
    realm: 'other',
    'customHeader().name': 'other',
    'certificatePolicy.refusalStatus': 401,
    floodGuard: false,
    // Shown by what is accepted (jwt/typ-and-claims.test.ts): a source has no other member.
    'jwtAccessTokens().typ': undefined,
    // With one element both modes are the same.
    'envoy().forward': undefined,
  };
  const names = [...accepted.matchAll(/'([\w-]+)'/g)].map(([, name]) => name);
  return path in others ? others[path] : names.find((name) => name !== stated);
}

async function seenWith(option: Documented, value: unknown): Promise<string> {
  const { taker, path } = option;
  const made = taken(taker, path, value);
  const seen = await taker.seen?.(made as never);
  return JSON.stringify(seen, (_key, one) => (typeof one === 'function' ? String(one) : one)) ?? 'nothing';
}

function variablesReadWithout(path: string): string[] {
  const read: string[] = [];
  const environment = new Proxy<NodeJS.ProcessEnv>(
    {},
    {
      get(_target, name) {
        read.push(String(name));
        // The names of further variables are read only where there is a secret.
        return name === 'MTLS_BOUND_CLIENT_SECRET' ? 'a-secret' : undefined;
      },
    },
  );
  try {
    taken(ofResourceServer, path, undefined, environment);
  } catch {
    // What is required is missed, once it was looked for.
  }
  return read;
}
