import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { describe, expect, it } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import { buildPath, groupBySubject } from '../../../packages/core/src/chain/path-building.js';
import { readPathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { authority, client, keyPair, type Node, plain, rawExtension } from '../../support/chains.js';
import { der, sequence } from '../../support/written-der.js';

await library.load();

const now = Date.now();
const root = await authority('CN=Root');
const middle = await authority('CN=Middle', root);
const good = await client('CN=client, O=Example', middle, { to: 20 });

function parsed({ der }: Node) {
  const certificate = readPathCertificate(der);
  if (typeof certificate === 'string') {
    throw new Error(certificate);
  }
  return certificate;
}

function outcome(leaf: Node, between: readonly Node[], anchors: readonly Node[] = [root], at = now): string {
  const found = buildPath(
    parsed(leaf),
    { anchors: groupBySubject(anchors.map(parsed)), intermediates: [groupBySubject(between.map(parsed))] },
    at,
  );
  return 'why' in found
    ? found.why
    : found.path.map(({ subjectName }) => /=(.*?)"/.exec(subjectName)?.[1]).join(' < ');
}

describe('a valid path', () => {
  it('leads over an intermediate to the anchor', () => {
    expect(outcome(good, [middle])).toBe('client < middle < root');
  });

  it('is found whatever the order of the intermediates, and whatever else is among them', async () => {
    const other = await authority('CN=Other', root);
    expect(outcome(good, [other, root, middle, middle])).toBe('client < middle < root');
  });

  it('may begin at an authority in between that is the anchor', () => {
    expect(outcome(good, [], [middle])).toBe('client < middle');
  });

  it('is found over the other certificate of a cross-signed authority', async () => {
    const otherRoot = await authority('CN=Other Root');
    const crossed = await authority('CN=Middle', otherRoot, { keys: middle.keys });
    expect(outcome(good, [middle, crossed], [otherRoot])).toBe('client < middle < other root');
    const expired = await authority('CN=Middle', root, { keys: middle.keys, to: -0.5 });
    expect(outcome(good, [expired, crossed], [root, otherRoot])).toBe('client < middle < other root');
  });

  it('is found over a bridge', async () => {
    const bridge = await authority('CN=Bridge', root);
    const ownRoot = await authority('CN=Own Root');
    const bridged = await authority('CN=Own Root', bridge, { keys: ownRoot.keys });
    const leaf = await client('CN=bridged', ownRoot);
    expect(outcome(leaf, [ownRoot, bridged, bridge])).toBe('bridged < own root < bridge < root');
  });

  it('may have names in other cases and blanks', async () => {
    const spelt = await client('CN=client', { ...middle, name: 'CN=mIDDLE' });
    expect(outcome(spelt, [middle])).toBe('client < middle < root');
  });

  it.each(['P-384', 'P-521'])('may have keys on %s', async (namedCurve) => {
    const own = await authority('CN=Own', undefined, { keyAlgorithm: { name: 'ECDSA', namedCurve } });
    expect(outcome(await client('CN=client', own), [], [own])).toBe('client < own');
  });

  it.each(['RSASSA-PKCS1-v1_5', 'RSA-PSS'])('may have keys for %s', async (name) => {
    const keyAlgorithm = {
      name,
      modulusLength: 2_048,
      publicExponent: new Uint8Array([1, 0, 1]),
      hash: 'SHA-256',
    };
    const own = await authority('CN=Own', undefined, { keyAlgorithm });
    expect(outcome(await client('CN=client', own), [], [own])).toBe('client < own');
  });

  it('holds to the last second of the certificate', () => {
    const { notAfter } = parsed(good);
    expect(outcome(good, [middle], [root], notAfter + 999)).toBe('client < middle < root');
    expect(outcome(good, [middle], [root], notAfter + 1_000)).toMatch(/it has expired$/);
  });
});

/** Names and why a path is refused. */
const refused: readonly (readonly [string, () => Promise<string>, RegExp])[] = [
  [
    'another authority with the same name',
    async () => outcome(await client('CN=client', await authority('CN=Root')), []),
    /^no path/,
  ],
  [
    'an authority in between with the same name and another key',
    async () => outcome(good, [await authority('CN=Middle', root)]),
    /^no path/,
  ],
  ['no intermediate at all', async () => outcome(good, []), /^no path/],
  ['a certificate that it issued to itself', async () => outcome(await authority('CN=Root'), []), /^no path/],
  [
    'a certificate that has expired',
    async () => outcome(await client('CN=client', middle, { from: -9, to: -1 }), [middle]),
    /^it has expired$/,
  ],
  [
    'a certificate that is not valid yet',
    async () => outcome(await client('CN=client', middle, { from: 1 }), [middle]),
    /^it is not valid yet$/,
  ],
  [
    'an expired intermediate',
    async () => {
      const old = await authority('CN=Old', root, { from: -9, to: -1 });
      return outcome(await client('CN=client', old), [old]);
    },
    /above it: it has expired$/,
  ],
  [
    'an expired anchor',
    async () => {
      const old = await authority('CN=Old', undefined, { from: -9, to: -1 });
      return outcome(await client('CN=client', old), [], [old]);
    },
    /above it: it has expired$/,
  ],
  [
    'a path longer than an authority allows',
    async () => {
      const short = await authority('CN=Short', root, { pathLength: 0 });
      const below = await authority('CN=Below', short);
      return outcome(await client('CN=client', below), [below, short]);
    },
    /one authority more than the path may have$/,
  ],
  [
    'a path longer than the anchor allows',
    async () => {
      const short = await authority('CN=Short', undefined, { pathLength: 0 });
      const below = await authority('CN=Below', short);
      return outcome(await client('CN=client', below), [below], [short]);
    },
    /one authority more than the path may have$/,
  ],
  [
    'a client as authority',
    async () => outcome(await client('CN=below', good), [good, middle]),
    /it is no authority/,
  ],
  [
    'a certificate without basic constraints as authority',
    async () => {
      const old = await plain('CN=Old', root);
      return outcome(await client('CN=client', old), [old]);
    },
    /it is no authority/,
  ],
  [
    'an authority that may not sign certificates',
    async () => {
      const crl = await authority('CN=CRL', root, { keyUsage: x509.KeyUsageFlags.cRLSign });
      return outcome(await client('CN=client', crl), [crl]);
    },
    /does not allow to sign certificates$/,
  ],
  [
    'a certificate for servers alone',
    async () => outcome(await client('CN=client', middle, {}, [x509.ExtendedKeyUsage.serverAuth]), [middle]),
    /^its extended key usage lacks clientAuth$/,
  ],
  [
    'an authority for servers alone',
    async () => {
      const servers = await authority('CN=Servers', root, {
        extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth])],
      });
      return outcome(await client('CN=client', servers), [servers]);
    },
    /above it: its extended key usage lacks clientAuth$/,
  ],
  [
    'a certificate for encryption alone',
    async () =>
      outcome(await client('CN=client', middle, { keyUsage: x509.KeyUsageFlags.keyEncipherment }), [middle]),
    /^its key usage allows neither/,
  ],
  [
    'an unknown critical extension',
    async () =>
      outcome(await client('CN=client', middle, { extensions: [rawExtension('1.2.3.4', '0500')] }), [middle]),
    /^it has a critical extension/,
  ],
  [
    'an unknown critical extension of an authority',
    async () => {
      const odd = await authority('CN=Odd', root, { extensions: [rawExtension('1.2.3.4', '0500')] });
      return outcome(await client('CN=client', odd), [odd]);
    },
    /above it: it has a critical extension/,
  ],
  [
    'name constraints that can not be read',
    async () => {
      const odd = await authority('CN=Odd', root, { extensions: [rawExtension('2.5.29.30', '3000')] });
      return outcome(await client('CN=client', odd), [odd]);
    },
    /name constraints can not be read$/,
  ],
  [
    'an RSA key of 1024 bits',
    async () => {
      const keyAlgorithm = {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength: 1_024,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: 'SHA-256',
      };
      const weak = await authority('CN=Weak', root, { keyAlgorithm });
      return outcome(await client('CN=client', weak), [weak]);
    },
    /its RSA key has 1024 bits/,
  ],
  [
    'a signature with SHA-1',
    async () => outcome(await client('CN=client', middle, { hash: 'SHA-1' }), [middle]),
    /^the algorithm of its signature is not accepted$/,
  ],
  [
    'a signature with SHA-1 of an authority',
    async () => {
      const weak = await authority('CN=Weak', root, { hash: 'SHA-1' });
      return outcome(await client('CN=client', weak), [weak]);
    },
    /above it: the algorithm of its signature is not accepted$/,
  ],
];

describe('refuses', () => {
  it.each(refused)('%s', async (_name, attempt, why) => {
    expect(await attempt()).toMatch(why);
  });
});

// GeneralSubtrees of one base each, as DER: [0] permitted, [1] excluded.
function constraint(tag: 0xa0 | 0xa1, base: Buffer): string {
  const subtree = Buffer.concat([Buffer.from([0x30, base.length]), base]);
  const list = Buffer.concat([Buffer.from([tag, subtree.length]), subtree]);
  return Buffer.concat([Buffer.from([0x30, list.length]), list]).toString('hex');
}
const text = (tag: number, value: string) => Buffer.from([tag, value.length, ...Buffer.from(value)]);
const dns = (value: string) => text(0x82, value);
const uri = (value: string) => text(0x86, value);
const mail = (value: string) => text(0x81, value);
const ip = (...bytes: number[]) => Buffer.from([0x87, bytes.length, ...bytes]);
const directory = (name: string) => {
  const der = Buffer.from(new x509.Name(name).toArrayBuffer());
  return Buffer.from([0xa4, der.length, ...der]);
};
type San = ConstructorParameters<typeof x509.SubjectAlternativeNameExtension>[0];

/** Bases, permitted or excluded, the names of the client, and whether it passes. RFC 5280 §4.2.1.10. */
const constraints: readonly (readonly ['permitted' | 'excluded', Buffer, string, San, boolean])[] = [
  ['permitted', dns('bank.example'), 'CN=a', [{ type: 'dns', value: 'bank.example' }], true],
  ['permitted', dns('bank.example'), 'CN=a', [{ type: 'dns', value: 'API.Bank.Example' }], true],
  ['permitted', dns('bank.example'), 'CN=a', [{ type: 'dns', value: 'evilbank.example' }], false],
  ['permitted', dns('bank.example'), 'CN=a', [{ type: 'url', value: 'https://x.example/' }], true],
  [
    'permitted',
    dns('bank.example'),
    'CN=a',
    [
      { type: 'dns', value: 'bank.example' },
      { type: 'dns', value: 'x.example' },
    ],
    false,
  ],
  ['excluded', dns('bank.example'), 'CN=a', [{ type: 'dns', value: 'a.bank.example' }], false],
  ['excluded', dns('a.bank.example'), 'CN=a', [{ type: 'dns', value: '*.bank.example' }], false],
  ['excluded', dns('bank.example'), 'CN=a', [{ type: 'dns', value: 'x.example' }], true],
  ['permitted', uri('bank.example'), 'CN=a', [{ type: 'url', value: 'https://bank.example/a' }], true],
  ['permitted', uri('bank.example'), 'CN=a', [{ type: 'url', value: 'https://a.bank.example/' }], false],
  ['permitted', uri('.bank.example'), 'CN=a', [{ type: 'url', value: 'https://a.bank.example/' }], true],
  ['permitted', uri('.bank.example'), 'CN=a', [{ type: 'url', value: 'urn:a.bank.example' }], false],
  [
    'excluded',
    uri('bank.example'),
    'CN=a',
    [{ type: 'url', value: 'https://user@bank.example:8443?x' }],
    false,
  ],
  ['excluded', uri('bank.example'), 'CN=a', [{ type: 'url', value: 'https://127.0.0.1/' }], false],
  ['permitted', mail('bank.example'), 'CN=a', [{ type: 'email', value: 'me@bank.example' }], true],
  ['permitted', mail('bank.example'), 'CN=a', [{ type: 'email', value: 'me@a.bank.example' }], false],
  ['permitted', mail('.bank.example'), 'CN=a', [{ type: 'email', value: 'me@a.bank.example' }], true],
  ['permitted', mail('me@bank.example'), 'CN=a', [{ type: 'email', value: 'me@BANK.example' }], true],
  ['permitted', mail('me@bank.example'), 'CN=a', [{ type: 'email', value: 'you@bank.example' }], false],
  ['permitted', mail('bank.example'), 'CN=a, E=me@x.example', [{ type: 'dns', value: 'a' }], false],
  ['permitted', mail('Me@bank.example'), 'CN=a', [{ type: 'email', value: 'Me@BANK.example' }], true],
  ['permitted', mail('Me@bank.example'), 'CN=a', [{ type: 'email', value: 'me@bank.example' }], false],
  ['permitted', mail('Me@bank.example'), 'CN=a, E=Me@BANK.example', [{ type: 'dns', value: 'a' }], true],
  ['permitted', mail('Me@bank.example'), 'CN=a, E=me@bank.example', [{ type: 'dns', value: 'a' }], false],
  ['permitted', mail('me@bank.example'), 'CN=a, E=ME@bank.example', [{ type: 'dns', value: 'a' }], false],
  ['excluded', mail('Me@bank.example'), 'CN=a, E=ME@bank.example', [{ type: 'dns', value: 'a' }], false],
  ['excluded', mail('Me@bank.example'), 'CN=a, E=Me@Bank.example', [{ type: 'dns', value: 'a' }], false],
  ['excluded', mail('Me@bank.example'), 'CN=a', [{ type: 'email', value: 'ME@bank.example' }], false],
  ['excluded', mail('me@BANK.example'), 'CN=a', [{ type: 'email', value: 'ME@bank.EXAMPLE' }], false],
  ['excluded', mail('Bank.example'), 'CN=a, E=me@bAnk.example', [{ type: 'dns', value: 'a' }], false],
  ['excluded', mail('bank.example'), 'CN=a, E=me@ bank.example', [{ type: 'dns', value: 'a' }], false],
  ['excluded', mail('me@bank.example'), 'CN=a, E=you@bank.example', [{ type: 'dns', value: 'a' }], true],
  ['permitted', ip(10, 0, 0, 0, 255, 0, 0, 0), 'CN=a', [{ type: 'ip', value: '10.9.8.7' }], true],
  ['permitted', ip(10, 0, 0, 0, 255, 0, 0, 0), 'CN=a', [{ type: 'ip', value: '11.9.8.7' }], false],
  ['excluded', ip(10, 0, 0, 0, 255, 0, 0, 0), 'CN=a', [{ type: 'ip', value: '10.9.8.7' }], false],
  ['excluded', ip(10, 0, 0, 0, 255, 0, 0, 0), 'CN=a', [{ type: 'ip', value: '::1' }], true],
  ['permitted', directory('O=Bank'), 'O=Bank, CN=a', [{ type: 'dns', value: 'a' }], true],
  ['permitted', directory('O=Bank'), 'O=bank , CN=a', [{ type: 'dns', value: 'a' }], true],
  ['permitted', directory('O=Bank'), 'CN=a, O=Bank', [{ type: 'dns', value: 'a' }], false],
  ['permitted', directory('O=Bank'), 'O=Banker, CN=a', [{ type: 'dns', value: 'a' }], false],
  ['excluded', directory('O=Bank'), 'O=Bank, CN=a', [{ type: 'dns', value: 'a' }], false],
];

describe('name constraints', () => {
  it.each(constraints)('%s %j: %s with %j: %s', async (kind, base, name, san, passes) => {
    const limit = rawExtension('2.5.29.30', constraint(kind === 'permitted' ? 0xa0 : 0xa1, base));
    const limited = await authority('CN=Limited', root, { extensions: [limit] });
    const leaf = await client(name, limited, { extensions: [new x509.SubjectAlternativeNameExtension(san)] });
    const found = outcome(leaf, [limited]);
    expect(found.includes(' < ')).toBe(passes);
    expect(passes || found.includes('violates a name constraint')).toBe(true);
  });

  it.each([
    ['a leading dot of a DNS name', constraint(0xa0, dns('.bank.example'))],
    ['a mask with a hole', constraint(0xa0, ip(10, 0, 0, 0, 255, 0, 255, 0))],
    ['an address alone', constraint(0xa0, ip(10, 0, 0, 0))],
    ['a tag that no name has', constraint(0xa0, text(0x8a, 'a'))],
    ['a minimum', '300aa0083006820161800101'],
    ['bytes behind', `${constraint(0xa0, dns('a'))}00`],
  ])('are refused with %s', async (_name, value) => {
    const limited = await authority('CN=Limited', root, { extensions: [rawExtension('2.5.29.30', value)] });
    expect(outcome(await client('CN=a', limited), [limited])).toMatch(/name constraints can not be read$/);
  });

  it.each([
    ['DNS', 0x82, 'bank.example', 'victim.example'],
    ['URI', 0x86, 'bank.example', 'https://victim.example/x'],
    ['mail', 0x81, 'bank.example', 'a@victim.example'],
  ])('are not escaped by a %s name in the constructed form of BER', async (_kind, tag, limit, name) => {
    const limited = await authority('CN=Limited', root, {
      extensions: [rawExtension('2.5.29.30', constraint(0xa0, text(tag, limit)))],
    });
    const part = text(0x16, name);
    const constructed = Buffer.from([tag | 0x20, part.length, ...part]);
    const names = Buffer.from([0x30, constructed.length, ...constructed]).toString('hex');
    const leaf = await client('CN=a', limited, { extensions: [rawExtension('2.5.29.17', names, false)] });
    expect(outcome(leaf, [limited])).toMatch(/can not be read$/);
  });

  it('of the anchor hold too', async () => {
    const limit = rawExtension('2.5.29.30', constraint(0xa0, directory('O=Bank')));
    const limited = await authority('CN=Limited', undefined, { extensions: [limit] });
    expect(outcome(await client('O=Other', limited), [], [limited])).toMatch(/violates/);
    expect(outcome(await client('O=Bank', limited), [], [limited])).toBe('bank < limited');
  });
});

/** Name constraints with so many bases. */
const bases = (tag: 0xa0 | 0xa1, count: number, baseOf: (at: number) => Buffer) => {
  const subtrees = Array.from({ length: count }, (_, at) => sequence(baseOf(at)));
  return rawExtension('2.5.29.30', sequence(der(tag, ...subtrees)).toString('hex'));
};

describe('bounded work', () => {
  it('reads the name constraints of a few authorities that a client sends', async () => {
    const keys = await keyPair();
    const limits = [bases(0xa1, 80, (at) => directory(`O=${at}`))];
    const others = Array.from({ length: 3 }, () =>
      authority('CN=Middle', root, { keys, extensions: [...limits] }),
    );
    const [one, two, three] = (await Promise.all(others)) as [Node, Node, Node];
    const leaf = await client('O=1', one);
    expect(outcome(leaf, [one])).toMatch(/violates a name constraint$/);
    expect(outcome(leaf, [one, two])).toMatch(/violates a name constraint$/);
    expect(outcome(leaf, [one, two, three])).toMatch(/its name constraints cost too much to read:/);
    const good = await client('O=Good', one);
    expect(outcome(good, [one, two, three])).toBe('good < middle < root');
  });

  it('reads the directory names of a few certificates that a client sends', async () => {
    const limited = await authority('CN=Limited', undefined, {
      extensions: [bases(0xa1, 1, () => directory('O=Bad'))],
    });
    const keys = await keyPair();
    const names = sequence(...Array.from({ length: 48 }, (_, at) => directory(`O=${at}`))).toString('hex');
    const extensions = [rawExtension('2.5.29.17', names, false)];
    const others = Array.from({ length: 5 }, () => authority('CN=Middle', limited, { keys, extensions }));
    const sent = await Promise.all(others);
    const leaf = await client('O=Bad', sent[0] as Node);
    expect(outcome(leaf, sent.slice(0, 4), [limited])).toMatch(/violates a name constraint$/);
    expect(outcome(leaf, sent, [limited])).toMatch(/its names cost too much to read$/);
  });

  it('compares names with the name constraints of all paths 100,000 times at most', async () => {
    const keys = await keyPair();
    const limits = [bases(0xa1, 250, (at) => dns(`${at}`))];
    const others = Array.from({ length: 3 }, () =>
      authority('CN=Middle', root, { keys, extensions: [...limits] }),
    );
    const sent = await Promise.all(others);
    const names = Array.from({ length: 150 }, (_, at) => dns(`x${at}`));
    const extensions = (last: string) => [
      rawExtension('2.5.29.17', sequence(...names, dns(last)).toString('hex'), false),
    ];
    const good = await client('CN=a', sent[0] as Node, { extensions: extensions('x') });
    const bad = await client('CN=a', sent[0] as Node, { extensions: extensions('1') });
    expect(outcome(good, sent)).toBe('a < middle < root');
    expect(outcome(bad, sent.slice(0, 2))).toMatch(/violates a name constraint$/);
    expect(outcome(bad, sent)).toMatch(/^it has too many names for the name constraints of its path$/);
  });

  it('gives up with the 51st signature, for intermediates that all fit each other', async () => {
    const names = ['CN=A', 'CN=B', 'CN=C', 'CN=D', 'CN=E'];
    const keys = await Promise.all(names.map(() => keyPair()));
    const tangle: Node[] = [];
    for (const [at, name] of names.entries()) {
      for (const [by, issuer] of names.entries()) {
        const signer = { ...root, name: issuer, keys: keys[by] as Node['keys'] };
        tangle.push(await authority(name, signer, { keys: keys[at] as Node['keys'] }));
      }
    }
    const leaf = await client('CN=client', tangle[0] as Node);
    expect(outcome(leaf, tangle)).toMatch(/^more than 50 signatures/);
  });

  it.each([
    ['P-256', 50],
    ['P-384', 12],
    ['P-521', 6],
  ])('verifies at most what costs as much as 50 cheap signatures: keys on %s, %i', async (curve, most) => {
    const keyAlgorithm = { name: 'ECDSA', namedCurve: curve };
    const issuers = Array.from({ length: most + 1 }, () => authority('CN=Issuer', root, { keyAlgorithm }));
    const [own, ...others] = await Promise.all(issuers);
    const leaf = await client('CN=client', own as Node);
    expect(outcome(leaf, [...others.slice(2), own as Node])).toBe('client < issuer < root');
    expect(outcome(leaf, [...others, own as Node])).toMatch(/^more than 50 signatures, or fewer of costly/);
  });

  it('old certificates of an authority cost nothing while a valid one is there', async () => {
    const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-521' };
    const keys = await keyPair(keyAlgorithm);
    const old = Array.from({ length: 8 }, () => authority('CN=Issuer', root, { keys, from: -20, to: -10 }));
    const valid = await authority('CN=Issuer', root, { keys });
    const leaf = await client('CN=client', valid);
    expect(outcome(leaf, [...(await Promise.all(old)), valid])).toBe('client < issuer < root');
  });

  it('a path of five signatures with keys on P-521 is found', async () => {
    const line: Node[] = [];
    for (const name of ['CN=Top', 'CN=One', 'CN=Two', 'CN=Three', 'CN=Four']) {
      line.push(await authority(name, line.at(-1), { keyAlgorithm: { name: 'ECDSA', namedCurve: 'P-521' } }));
    }
    const [top, ...intermediates] = line;
    expect(outcome(await client('CN=client', line[4] as Node), intermediates, [top as Node])).toBe(
      'client < four < three < two < one < top',
    );
  });

  it('ends at a path of ten certificates', async () => {
    const line: Node[] = [root];
    for (let at = 1; at <= 9; at += 1) {
      line.push(await authority(`CN=Line ${at}`, line.at(-1)));
    }
    expect(outcome(await client('CN=nine', line[8] as Node), line)).toMatch(/^nine < line 8 < .* < root$/);
    expect(outcome(await client('CN=ten', line[9] as Node), line)).toMatch(/^no path/);
  });
});
