// What `mtls-doctor clients` makes of the JSON of clientCertificates().
import { describe, expect, it } from 'vitest';
import { reportClients } from '../../../packages/core/src/doctor/certificate-list.js';

const day = 86_400_000;
const now = Date.parse('2026-03-01T12:00:00Z');
const row = (clientId: string | null | undefined, days: number | undefined, more: object = {}) => ({
  issuer: 'https://as.example.com',
  clientId,
  thumbprint: 'A'.repeat(43),
  notAfter: days === undefined ? undefined : new Date(now + days * day),
  // The file may be old: what counts is the end itself.
  daysLeft: 1_000,
  firstSeen: new Date(now - day),
  lastSeen: new Date(now),
  isReplaced: false,
  ...more,
});
const report = (rows: unknown, days = 30) => reportClients([JSON.stringify(rows)], days, now);
const codes = (rows: unknown, days?: number) =>
  report(rows, days).findings.map(({ status, code }) => `${status} ${code}`);

it('is a table, by the days that are left', () => {
  const { table } = report([
    row('later', 90),
    row('proxied', undefined),
    row('gone', -2),
    row(undefined, 12.5, { isReplaced: true }),
  ]);
  const rest = `https://as.example.com  ${'A'.repeat(43)}  2026-03-01`;
  expect(table.split('\n')).toEqual([
    `days left  expires     client          issuer                  x5t#S256${' '.repeat(37)}last seen`,
    `-2         2026-02-27  gone            ${rest}`,
    `12         2026-03-14  (no client_id)  ${rest}  replaced`,
    `90         2026-05-30  later           ${rest}`,
    `unknown    unknown     proxied         ${rest}`,
    '',
  ]);
});

describe('finds', () => {
  it.each<[string, unknown[], number | undefined, string[]]>([
    ['no client', [], undefined, ['ok client_certificates']],
    ['31 days left', [row('a', 31)], undefined, ['ok client_certificates']],
    ['30 days left', [row('a', 30)], undefined, ['problem client_certificate_expires']],
    ['8 days left, of 7', [row('a', 8)], 7, ['ok client_certificates']],
    ['6 days left, of 7', [row('a', 6)], 7, ['problem client_certificate_expires']],
    ['expired, of 0', [row('a', -0.1)], 0, ['problem client_certificate_expired']],
    [
      'expired and expiring',
      [row('a', 3), row('b', -3)],
      undefined,
      ['problem client_certificate_expired', 'problem client_certificate_expires'],
    ],
    ['a replaced one alone', [row('a', 3, { isReplaced: true })], undefined, ['ok client_certificates']],
    [
      'an unknown end',
      [row('a', undefined)],
      undefined,
      ['ok client_certificates', 'warning client_expiry_unknown'],
    ],
    [
      'an unknown end, as null',
      [row('a', undefined, { notAfter: null })],
      undefined,
      ['ok client_certificates', 'warning client_expiry_unknown'],
    ],
  ])('%s', (_, rows, days, expected) => {
    expect(codes(rows, days)).toEqual(expected);
  });

  it('names at most ten clients', () => {
    const [finding] = report(Array.from({ length: 12 }, (_, i) => row(`c${i}`, i + 0.5))).findings;
    expect(finding?.message).toBe(
      'the certificate expires within 30 days of c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more',
    );
  });
});

it('a name with control characters stays on its line', () => {
  const { table } = report([row('evil\n\u001b[2Jname', 90)]);
  expect(table).toContain('evil\\u000a\\u001b[2Jname');
});

describe('refuses what is no list of clients, and shows nothing of it', () => {
  it.each<[string, string]>([
    ['no JSON', 'secret-2718281828'],
    ['an object', '{"secret-2718281828":1}'],
    ['null', 'null'],
    ['a row that is null', '[null]'],
    ['a row without issuer', JSON.stringify([row('a', 3, { issuer: undefined })])],
    ['a row whose client is a number', JSON.stringify([row('a', 3, { clientId: 2_718_281_828 })])],
    ['a row whose end is a number', JSON.stringify([row('a', 3, { notAfter: 2_718_281_828 })])],
    ['a row whose end is no time', JSON.stringify([row('a', 3, { notAfter: 'secret-2718281828' })])],
    ['a row without firstSeen', JSON.stringify([row('a', 3, { firstSeen: undefined })])],
    ['a row without lastSeen', JSON.stringify([row('a', 3, { lastSeen: undefined })])],
    [
      'rows of observeClients()',
      '[{"issuer":"a","firstSeen":"2026-03-01T12:00:00Z","lastSeen":"2026-03-01T12:00:00Z","bound":1}]',
    ],
  ])('%s', (_, text) => {
    const thrown = (() => {
      try {
        return reportClients([text], 30, now).table;
      } catch (error) {
        return (error as Error).message;
      }
    })();
    expect(thrown).toMatch(/^expected the JSON of resourceServer\.clientCertificates\(\), /);
    expect(thrown).not.toContain('2718281828');
  });
});

describe('the lists of several processes', () => {
  const at = (hours: number) => new Date(now + hours * 3_600_000);
  const old = (firstSeen: number, lastSeen: number, more: object = {}) =>
    row('a', 3, { thumbprint: 'O'.repeat(43), firstSeen: at(firstSeen), lastSeen: at(lastSeen), ...more });
  const renewed = (firstSeen: number, lastSeen: number) =>
    row('a', 300, { thumbprint: 'N'.repeat(43), firstSeen: at(firstSeen), lastSeen: at(lastSeen) });
  const merged = (...lists: unknown[][]) =>
    reportClients(
      lists.map((list) => JSON.stringify(list)),
      30,
      now,
    );

  it('make one row for a client and its certificate, with the newest request', () => {
    const { table } = merged([old(-90, -48)], [old(-60, -1)], [renewed(-70, -50)]);
    const rows = table.split('\n').slice(1, -1);
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatch(/^3 .*O{43} {2}2026-03-01$/);
    expect(rows[1]).toMatch(/^300 .*N{43} {2}2026-02-27$/);
  });

  it('a certificate that one process saw replaced counts if another process saw it since', () => {
    const { findings } = merged([old(-90, -48, { isReplaced: true }), renewed(-40, -1)], [old(-90, -2)]);
    expect(findings.map(({ code }) => code)).toEqual(['client_certificate_expires']);
  });

  it('a certificate is replaced if the client went on with another process and another certificate', () => {
    const { findings, table } = merged([old(-90, -48)], [renewed(-40, -1)]);
    expect(findings.map(({ code }) => code)).toEqual(['client_certificates']);
    expect(table).toMatch(/O{43} .* replaced\n/);
  });

  it('a certificate of another issuer, client or without client_id replaces none', () => {
    const others = [{ issuer: 'https://other.example.com' }, { clientId: 'b' }, { clientId: undefined }];
    for (const other of others) {
      const { findings } = merged([old(-90, -48)], [{ ...renewed(-40, -1), ...other }]);
      expect(findings.map(({ code }) => code)).toEqual(['client_certificate_expires']);
    }
  });

  it('a process that knows only the hash of the certificate hides no expiry', () => {
    const { findings } = merged([old(-9, -1, { notAfter: undefined })], [old(-9, -2)]);
    expect(findings.map(({ code }) => code)).toEqual(['client_certificate_expires']);
  });

  it('an error says which list is no list of clients', () => {
    expect(() => merged([old(-9, -1)], [null])).toThrow(/^list 2: expected the JSON of resourceServer/);
  });
});
