import { createHash } from 'node:crypto';
import * as core from '@mtls-bound/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CertificateDecoder } from '../../../packages/core/src/certificate/encodings.js';
import { createXfccDecoder } from '../../../packages/core/src/trusted-proxy/xfcc.js';
import { runs } from '../../support/fuzzing.js';
import {
  envoyDocumentation,
  envoyEmptySubject,
  envoyIntegrationTest,
  envoyRecorded,
} from '../../support/vectors.js';

const base64url = (hex: string): string => Buffer.from(hex, 'hex').toString('base64url');

/** The SHA-256 in hex, `none`, or `malformed`. */
function outcome(decode: CertificateDecoder, value: string): string {
  const decoded = decode(value);
  switch (decoded.kind) {
    case 'certificate':
      return createHash('sha256').update(decoded.der).digest('hex');
    case 'hash':
      return Buffer.from(decoded.thumbprint, 'base64url').toString('hex');
    default:
      return decoded.kind;
  }
}

const soleElement = createXfccDecoder(1);
const [one, other] = envoyDocumentation.hashes;
const { hash: real, cert } = envoyRecorded;

describe('values that were published', () => {
  const { previous, current, hash } = envoyIntegrationTest;
  it.each<[string, CertificateDecoder, string, string]>([
    ['Envoy’s integration test, SANITIZE_SET', soleElement, current, hash],
    [
      'Envoy’s integration test, APPEND_FORWARD where one is expected',
      soleElement,
      `${previous},${current}`,
      'malformed',
    ],
    [
      'Envoy’s integration test, its invented Hash taken for the client’s',
      createXfccDecoder(2),
      `${previous},${current}`,
      'malformed',
    ],
    [
      'Envoy’s integration test, then another proxy’s element',
      createXfccDecoder(2),
      `${current},Hash=${one}`,
      hash,
    ],
    ['an empty Subject', soleElement, envoyEmptySubject.value, envoyEmptySubject.hash],
  ])('%s', (_title, decode, value, expected) => {
    expect(outcome(decode, value)).toBe(expected);
  });

  it('a Hash comes out as x5t#S256', () => {
    expect(soleElement(current)).toEqual({ kind: 'hash', thumbprint: base64url(hash) });
  });
});

describe('quotes, escapes and separators', () => {
  it.each<[string, string, string]>([
    ['keys in any case', `hASH=${one}`, one],
    ['a Hash in upper case', `Hash=${one.toUpperCase()}`, one],
    ['a Hash in quotes', `Hash="${one}"`, one],
    ['an escaped character in a quoted value', `Hash="\\${one[0]}${one.slice(1)}"`, one],
    ['a Cert without quotes', `Hash=${real};Cert=${cert}`, real],
    ['a Cert without a Hash', `Cert="${cert}"`, 'malformed'],
    ['Cert and Hash that agree', `Cert="${cert}";Hash=${real}`, real],
    ['Cert and Hash that disagree', `Cert="${cert}";Hash=${one}`, 'malformed'],
    ['an empty Cert beside a Hash', `Cert="";Hash=${one}`, one],
    ['separators in quotes', `Subject="a;b,c";Hash=${one}`, one],
    ['Hash= in quotes that no separator precedes', `Subject="aHash=${other}";Hash=${one}`, one],
    ['Hash= behind a separator in quotes', `Subject="a;Hash=${other}";Hash=${one}`, 'malformed'],
    ['Hash= behind a separator and a blank in quotes', `Subject="a, hASH=";Hash=${one}`, 'malformed'],
    ['an escaped quote in quotes', `Subject="\\";a;";Hash=${one}`, one],
    ['an escaped backslash before the closing quote', `Subject="\\\\";Hash=${one}`, one],
    ['the same backslash, not escaped', `Subject="\\";Hash=${one}`, 'malformed'],
    ['a quote amidst a bare value', `By=a"b;Hash=${one}`, 'malformed'],
    ['text behind a closing quote', `Subject="a"b;Hash=${one}`, 'malformed'],
    ['a backslash outside quotes is itself', `By=a\\;Hash=${one}`, one],
    ['keys that are not known', `Foo=bar;Hash=${one}`, one],
    ['several URIs and DNS names', `URI=a;URI=b;DNS=c;DNS=d;Hash=${one}`, one],
    ['Chain is not looked at without Cert', `Chain="nonsense";Hash=${one}`, one],
    ['neither Cert nor Hash', 'By=a;Subject="b"', 'malformed'],
    ['nothing', '', 'none'],
    ['a blank', ' ', 'malformed'],
    ['an empty Hash', 'Hash=', 'malformed'],
    ['a Hash of 63 digits', `Hash=${one.slice(1)}`, 'malformed'],
    ['a Hash of 65 digits', `Hash=0${one}`, 'malformed'],
    ['a Hash that is no hex', `Hash=g${one.slice(1)}`, 'malformed'],
    ['two Hashes that agree', `Hash=${one};Hash=${one}`, 'malformed'],
    ['two Hashes, one of them in another case', `Hash=${one};hash=${other}`, 'malformed'],
    ['an empty Cert and another', `Cert="";Cert="${cert}"`, 'malformed'],
    ['no key', `=a;Hash=${one}`, 'malformed'],
    ['no value', `By;Hash=${one}`, 'malformed'],
    ['a semicolon at the end', `Hash=${one};`, one],
    ['a separator at the start', `;Hash=${one}`, 'malformed'],
    ['two separators', `By=a;;Hash=${one}`, 'malformed'],
    ['a blank before "="', `Hash =${one}`, 'malformed'],
    ['two elements', `Hash=${one},Hash=${one}`, 'malformed'],
    ['two certificates in one Cert', `Cert="${cert}${cert}"`, 'malformed'],
  ])('%s', (_title, value, expected) => {
    expect(outcome(soleElement, value)).toBe(expected);
  });

  it('elements apart by a comma and a blank, as headers joined by a proxy are', () => {
    const two = `Hash=${one}, Hash=${other}`;
    expect(outcome(createXfccDecoder(2), two)).toBe(one);
    expect(outcome(createXfccDecoder(1), two)).toBe('malformed');
    expect(outcome(createXfccDecoder(4), two)).toBe('malformed');
  });

  it('an element whose Hash= stands within another value is malformed', () => {
    expect(outcome(createXfccDecoder(2), `Hash=${one},By="a;Hash=${other}"`)).toBe('malformed');
    expect(outcome(createXfccDecoder(2), `By="a,Hash=${other}"`)).toBe('malformed');
    expect(outcome(createXfccDecoder(1), `By="a,Hash=${other}"`)).toBe('malformed');
  });

  it('a list with one element too few means that the outermost proxy met no certificate', () => {
    expect(outcome(createXfccDecoder(3), `Hash=${one},Hash=${other}`)).toBe('none');
    expect(outcome(createXfccDecoder(2), `Hash=${one}`)).toBe('none');
    expect(outcome(createXfccDecoder(2), '')).toBe('none');
  });

  it('what stands behind a value is a separator, or the whole is malformed', () => {
    for (const value of [
      `By="a"xHash=${one}`,
      `By="a""Hash=${one}`,
      `By=a"Hash=${one}`,
      `By="a" Hash=${one}`,
    ]) {
      for (const hops of [1, 2, 3]) {
        expect([value, hops, outcome(createXfccDecoder(hops), value)]).toEqual([value, hops, 'malformed']);
      }
    }
  });
});

/** Text of those who know how the header is read, with the victim's certificate at hand. */
const hostileText = fc
  .array(
    fc.constantFrom(
      ...['"', '\\', ',', ';', '=', ' ', 'a', '%'],
      ...['By=', 'By="', 'Hash=', 'Cert="', 'Subject="', ';By="', ',By="', '",', '";', '\\"', '\\\\'],
      ...[`Hash=${other}`, `,Hash=${other}`, `;Hash=${other}`, `Hash=${other};`, `Hash=${other},`],
      ...[`",Hash=${other}`, `";Hash=${other}`, `Hash=${other};By="`, `,Hash=${other};By="`],
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

const often = runs(100_000);

describe('no client passes for the holder of another certificate', () => {
  // As Envoy writes a Subject: RFC 2253, quotes and backslashes escaped, an attribute's name first.
  const asSubject = (text: string): string => `Subject="CN=${text.replace(/["\\,;+<>]/g, '\\$&')}"`;

  it('by a header of their own, to which an Envoy appends (100,000 headers)', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(hostileText, hostileText, fc.boolean(), (sent, name, withCert) => {
        const own = `By=spiffe://api;Hash=${real};${asSubject(name)}${withCert ? `;Cert="${cert}"` : ''}`;
        const found = outcome(soleElement, sent === '' ? own : `${sent},${own}`);
        seen.add(found);
        return found === real || found === 'malformed';
      }),
      often,
    );
    expect([...seen].sort()).toEqual([real, 'malformed'].sort());
  });

  it('by the names in their certificate, before a second proxy’s element (100,000 names)', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(hostileText, hostileText, hostileText, fc.boolean(), (name, dns, uri, quoted) => {
        const gateway = `Hash=${real};${asSubject(name)};DNS=${dns};URI=${uri}`;
        const sidecar = `By=spiffe://api;Hash=${one};Subject="${quoted ? 'CN=gateway' : ''}";URI=spiffe://gateway`;
        const found = outcome(createXfccDecoder(2), `${gateway},${sidecar}`);
        seen.add(found);
        return found === real || found === 'malformed';
      }),
      often,
    );
    expect([...seen].sort()).toEqual([real, 'malformed'].sort());
  });

  it('by the names in their certificate, under SANITIZE_SET (100,000 names)', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(hostileText, hostileText, hostileText, (name, dns, uri) => {
        // Envoy writes DNS and URI names as they are.
        const found = outcome(soleElement, `Hash=${real};${asSubject(name)};DNS=${dns};URI=${uri}`);
        seen.add(found);
        return found === real || found === 'malformed';
      }),
      often,
    );
    expect([...seen].sort()).toEqual([real, 'malformed'].sort());
  });

  it('by a URI that forges an element, in either mode', () => {
    const forged = `Hash=${real};URI=https://a.example,Hash=${other}`;
    const sidecar = `By=spiffe://api;Hash=${one};Subject=""`;
    expect(outcome(core.envoy().decode, forged)).toBe('malformed');
    expect(outcome(core.envoy({ forward: 'append-forward' }).decode, forged)).toBe('malformed');
    const istio = core.istio({ forward: 'append-forward', hops: 2 });
    expect(outcome(istio.decode, `${forged},${sidecar}`)).toBe('malformed');
    expect(outcome(istio.decode, `Hash=${real};URI=https://a.example,${sidecar}`)).toBe(real);
  });
});

describe('Chain next to Cert', () => {
  const pemOf = (der: Uint8Array) =>
    `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
  const [leaf, middle, top] = [1, 2, 3].map((at) => Buffer.from([0x30, 1, at])) as [Buffer, Buffer, Buffer];
  const hash = createHash('sha256').update(leaf).digest('hex');
  const escaped = (...ders: Buffer[]) => encodeURIComponent(ders.map(pemOf).join(''));
  const head = `Hash=${hash};Cert="${escaped(leaf)}"`;
  const decodedOf = (value: string) => {
    const decoded = soleElement(value);
    return decoded.kind === 'certificate'
      ? { der: [...decoded.der], intermediates: decoded.intermediates?.map((der) => [...der]) }
      : decoded;
  };
  const whole = { der: [...leaf], intermediates: [[...middle], [...top]] };

  it.each<[string, string, unknown]>([
    ['behind it', `${head};Chain="${escaped(leaf, middle, top)}"`, whole],
    ['before it', `Chain="${escaped(leaf, middle, top)}";${head}`, whole],
    [
      'of the certificate alone',
      `${head};Chain="${escaped(leaf)}"`,
      { der: [...leaf], intermediates: undefined },
    ],
    ['empty', `${head};Chain=""`, { der: [...leaf], intermediates: undefined }],
    [
      'in JSON',
      JSON.stringify([{ hash, cert: pemOf(leaf), chain: [leaf, middle, top].map(pemOf).join('') }]),
      whole,
    ],
    [
      'of more certificates than are kept',
      `${head};Chain="${escaped(leaf, ...Array.from({ length: 30 }, () => middle))}"`,
      { der: [...leaf], intermediates: Array.from({ length: 10 }, () => [...middle]) },
    ],
  ])('is read: %s', (_, value, expected) => {
    expect(decodedOf(value)).toEqual(expected);
  });

  it.each([
    ['that begins with another certificate', `${head};Chain="${escaped(middle, leaf)}"`],
    ['that is none', `${head};Chain="nonsense"`],
    [
      'with a bad link',
      `${head};Chain="${escaped(leaf)}-----BEGIN%20CERTIFICATE-----AAAA-----END%20CERTIFICATE-----"`,
    ],
    ['with text behind it', `${head};Chain="${escaped(leaf, middle)}x"`],
    ['with percent signs that encode nothing', `${head};Chain="${escaped(leaf)}%zz"`],
    ['twice', `${head};Chain="${escaped(leaf)}";Chain="${escaped(leaf, middle)}"`],
    [
      'next to the Cert of another',
      `Hash=${hash};Cert="${escaped(middle)}";Chain="${escaped(leaf, middle)}"`,
    ],
    ['in JSON that is no text', JSON.stringify([{ hash, cert: pemOf(leaf), chain: [pemOf(leaf)] }])],
  ])('is malformed: %s', (_, value) => {
    expect(soleElement(value).kind).toBe('malformed');
  });

  it('is that of the client’s element alone', () => {
    const gateway = createHash('sha256').update(top).digest('hex');
    const value = `${head},Hash=${gateway};Cert="${escaped(top)}";Chain="${escaped(top, middle)}"`;
    expect(createXfccDecoder(2)(value)).toEqual({ kind: 'certificate', der: leaf });
  });
});
