// Authorities that are read again: a set with a certificate that can't be used leaves the old one in force.
import 'reflect-metadata';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import {
  type Authorities,
  AuthoritySource,
  authoritiesRule,
} from '../../../packages/core/src/chain/authorities.js';
import { authority, client } from '../../support/chains.js';
import { stallFiles } from '../../support/stalled-files.js';

await library.load();
const root = await authority('CN=Root');
const other = await authority('CN=Other');
const costly = await authority(Array.from({ length: 150 }, (_, at) => `OU=${at}`).join(', '));

it('keeps the old set if the name of one certificate costs too much to read, and reports it', async () => {
  let given = root.cert;
  const reports: string[] = [];
  const source = new AuthoritySource(
    () => given,
    'authorities',
    (code, text) => void reports.push(`${code}: ${text}`),
  );
  const start = Date.now();
  await source.prepare(start);
  expect([...source.current().values()].flat()).toHaveLength(1);

  given = `${root.cert}${costly.cert}`;
  await source.prepare(start + 61_000);
  expect([...source.current().values()].flat()).toHaveLength(1);
  expect(source.generation).toBe(1);
  expect(reports).toEqual([
    expect.stringMatching(/^authorities_unreadable: .*read again: a certificate of the authorities: /),
  ]);

  given = `${root.cert}${other.cert}`;
  await source.prepare(start + 122_000);
  expect([...source.current().values()].flat()).toHaveLength(2);
});

it('refuses such a certificate at the start', () => {
  expect(() => new AuthoritySource([costly.cert], 'authorities', () => undefined)).toThrow(/authorities/);
});

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A source, what it reports, and the subjects that it has. */
function start(given: Authorities) {
  const reports: string[] = [];
  const source = new AuthoritySource(
    given,
    'authorities',
    (...[code, text]) => void reports.push(`${code}: ${text}`),
  );
  const subjects = () => [...source.current().keys()].map((name) => /=(.*?)"/.exec(name)?.[1]).join(', ');
  return { source, reports, subjects };
}

/** A moment at which all is read again. */
const START = Date.now();

describe('the option', () => {
  it.each<[string, unknown, boolean]>([
    ['a text', 'a', true],
    ['a list', ['a', 'b'], true],
    ['a function', () => 'a', true],
    ['nothing', undefined, false],
    ['an empty text', '', false],
    ['an empty list', [], false],
    ['an empty text in a list', ['a', ''], false],
    ['a number', 1, false],
    ['a number in a list', ['a', 1], false],
  ])('may be %s: %j %j', (_, given, isAccepted) => {
    expect(authoritiesRule.read(given) !== undefined).toBe(isAccepted);
  });
});

describe('certificates as PEM', () => {
  it.each<[string, () => string | string[], string]>([
    ['one', () => root.cert, 'root'],
    ['several in a text, with comments', () => `# ours\n${root.cert}# theirs\n${other.cert}`, 'root, other'],
    ['a list', () => [root.cert, other.cert], 'root, other'],
    ['one twice', () => [root.cert, root.cert], 'root'],
  ])('are taken as they are, and never read again: %s', (_, given, expected) => {
    const { source, subjects } = start(given());
    expect(source.prepare(START)).toBeUndefined();
    expect(source.prepare(START + 1_000_000)).toBeUndefined();
    expect(subjects()).toBe(expected);
    expect(source.generation).toBe(1);
  });

  it.each<[string, () => string | string[] | Promise<string>, RegExp]>([
    [
      'another kind of PEM',
      () => '-----BEGIN PUBLIC KEY-----\nAAAA\n',
      /a text or file without a PEM certificate/,
    ],
    [
      'no base64',
      () => '-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----',
      /a PEM certificate that is none/,
    ],
    [
      'the certificate of a client',
      async () => (await client('CN=client', root)).cert,
      /the certificate of "CN=client" is not that of an authority/,
    ],
    [
      'that of a client behind a good one',
      async () => root.cert + (await client('CN=client', root)).cert,
      /"CN=client" is not that of an authority/,
    ],
  ])('are refused at the start: %s', async (_, given, why) => {
    const texts = await given();
    expect(() => start(texts)).toThrow(why);
    expect(() => start(texts)).toThrow(/^authorities: expected /);
  });
});

describe('a file that is half written', () => {
  const parts = () => `${root.cert}${other.cert}`;
  const whole = () => parts().length - 1;
  const inBase64 = () => root.cert.length + 100;
  it.each<[string, () => number]>([
    ['in the first dash of a marker', () => root.cert.length + 1],
    ['in a marker that begins', () => root.cert.length + 12],
    ['behind a marker that begins', () => root.cert.length + 27],
    ['in a certificate', inBase64],
    ['in a marker that ends', () => whole() - 8],
    ['in the last dash of a marker', () => whole() - 1],
  ])('leaves the old set in force: it breaks off %s', async (_, end) => {
    const file = join(folder, 'half.pem');
    writeFileSync(file, parts());
    const { source, subjects, reports } = start(file);
    await source.prepare(START);
    writeFileSync(file, parts().slice(0, end()));
    await source.prepare(START + 61_000);
    expect(subjects()).toBe('root, other');
    expect(source.generation).toBe(1);
    expect(reports).toEqual([expect.stringContaining('breaks off within a certificate')]);
    writeFileSync(file, `${parts()}# the end`);
    await source.prepare(START + 122_000);
    expect(subjects()).toBe('root, other');
    expect(source.generation).toBe(2);
  });

  it('is refused at the start', () => {
    expect(() => start(parts().slice(0, inBase64()))).toThrow('breaks off within a certificate');
  });
});

describe('a file that was joined without a line end', () => {
  const joined = () => `${root.cert.trim()}${other.cert}`;
  const why = 'a text or file in which a BEGIN or END marker is not a line of its own';
  const file = () => join(folder, 'joined.pem');

  it('leaves the old set in force', async () => {
    writeFileSync(file(), root.cert);
    const { source, subjects, reports } = start(file());
    await source.prepare(START);
    writeFileSync(file(), joined());
    await source.prepare(START + 61_000);
    expect([subjects(), source.generation]).toEqual(['root', 1]);
    expect(reports).toEqual([
      expect.stringContaining(`authorities_unreadable: authorities can not be read again: ${why}`),
    ]);
    writeFileSync(file(), `${root.cert}${other.cert}`);
    await source.prepare(START + 122_000);
    expect(subjects()).toBe('root, other');
  });

  it('is refused at the start', () => {
    writeFileSync(file(), joined());
    expect(() => start(file())).toThrow(new RegExp(`^authorities: expected .*: ${why}`));
    expect(() => start(joined())).toThrow(new RegExp(`^authorities: expected .*: ${why}`));
  });
});

describe('a file', () => {
  it('is read again every ten seconds, beside the requests, and waited for after a minute', async () => {
    const file = join(folder, 'authorities.pem');
    writeFileSync(file, root.cert);
    const { source, subjects, reports } = start(file);
    await source.prepare(START);
    expect(subjects()).toBe('root');
    expect(source.generation).toBe(1);
    writeFileSync(file, other.cert);
    expect(source.prepare(START + 9_999)).toBeUndefined();
    expect(source.prepare(START + 10_000)).toBeUndefined();
    await vi.waitFor(() => expect(subjects()).toBe('other'));
    expect(source.generation).toBe(2);
    writeFileSync(file, root.cert);
    // 60 s after it was read last: not waited for yet.
    expect(source.prepare(START + 70_000)).toBeUndefined();
    await vi.waitFor(() => expect(subjects()).toBe('root'));
    writeFileSync(file, other.cert);
    await source.prepare(START + 130_001);
    expect(subjects()).toBe('other');
    // The clock was set back.
    writeFileSync(file, root.cert);
    await source.prepare(START);
    expect(subjects()).toBe('root');
    expect(reports).toEqual([]);
  });

  it('that is gone leaves the certificates that were read last, and is reported', async () => {
    const file = join(folder, 'gone.pem');
    writeFileSync(file, root.cert);
    const { source, subjects, reports } = start([file, other.cert]);
    expect(subjects()).toBe('root, other');
    rmSync(file);
    await source.prepare(START);
    expect(subjects()).toBe('root, other');
    expect(reports).toEqual([
      expect.stringMatching(/^authorities_unreadable: authorities can not be read again: .*ENOENT/),
    ]);
    expect(() => start(file)).toThrow(/authorities: expected .*ENOENT/);
  });
});

describe('files that stall', () => {
  afterEach(() => void vi.useRealTimers());

  it('are waited for 5 seconds, leave the certificates read last, and are read by one reading', async () => {
    const [file, second] = [join(folder, 'stalled.pem'), join(folder, 'stalled-2.pem')];
    writeFileSync(file, root.cert);
    writeFileSync(second, root.cert);
    const { source, subjects, reports } = start([file, second]);
    await source.prepare(START);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
    using files = stallFiles();

    writeFileSync(file, other.cert);
    let isOver = false;
    const waited = source.prepare(START + 61_000)?.then(() => {
      isOver = true;
    });
    await vi.advanceTimersByTimeAsync(4_900);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(isOver).toBe(true);
    await waited;
    expect(subjects()).toBe('root');
    expect(reports).toEqual([
      'authorities_unreadable: authorities can not be read again: no answer within 5 s',
    ]);

    // The next reading would stall, too: nothing waits for it.
    await source.prepare(START + 122_000);
    expect(reports.slice(1)).toEqual([
      'authorities_unreadable: authorities can not be read again: an earlier reading has not ended',
    ]);
    expect(files.waiting()).toBe(1);

    files.release();
    await vi.waitFor(() => expect(subjects()).toBe('other, root'));
    writeFileSync(file, root.cert);
    await source.prepare(START + 183_000);
    expect(subjects()).toBe('root');
    expect(reports).toHaveLength(2);
  });
});

describe('a function', () => {
  it('is called when a request comes, once at a time, and again after ten seconds', async () => {
    let calls = 0;
    const { source, subjects } = start(async () => {
      calls += 1;
      return [root.cert];
    });
    expect(calls).toBe(0);
    expect(() => source.current()).toThrow('internal_error: authorities gave no certificates');
    const [first, second] = [source.prepare(START), source.prepare(START)];
    expect(first).toBe(second);
    await first;
    expect([calls, subjects()]).toEqual([1, 'root']);
    await source.prepare(START + 9_999);
    expect(calls).toBe(1);
    await source.prepare(START + 60_001);
    expect([calls, source.generation]).toEqual([2, 1]);
  });

  it.each<[string, () => unknown, string]>([
    ['returns nothing', () => undefined, 'the function returned neither PEM nor a list of it'],
    ['returns an empty list', () => [], 'the function returned neither PEM nor a list of it'],
    ['returns the name of a file', () => join(folder, 'a.pem'), 'a text or file without a PEM certificate'],
    [
      'throws',
      () => {
        throw new Error('secret');
      },
      'Error',
    ],
    ['rejects', () => Promise.reject(new TypeError('secret')), 'TypeError'],
  ])('that %s at first refuses requests, and later leaves what it gave before', async (_, wrong, why) => {
    const report = `authorities_unreadable: authorities can not be read again: ${why}`;
    const never = start(wrong as () => string);
    await expect(never.source.prepare(START)).rejects.toThrow(
      'internal_error: authorities gave no certificates',
    );
    expect(never.reports).toEqual([report]);
    let give: () => unknown = () => root.cert;
    const { source, subjects, reports } = start((() => give()) as () => string);
    await source.prepare(START);
    give = wrong;
    await source.prepare(START + 61_000);
    expect([subjects(), source.generation]).toEqual(['root', 1]);
    expect(reports).toEqual([report]);
    give = () => [root.cert, other.cert];
    await source.prepare(START + 122_000);
    expect([subjects(), source.generation]).toEqual(['root, other', 2]);
  });
});
