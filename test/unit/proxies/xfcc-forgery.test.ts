import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createXfccDecoder } from '../../../packages/core/src/trusted-proxy/xfcc.js';
import { runs } from '../../support/fuzzing.js';
import { envoyDocumentation, envoyRecorded } from '../../support/vectors.js';

const { hash: own, cert } = envoyRecorded;
const [gateway, victim] = envoyDocumentation.hashes;

/** Pieces that an attacker who knows the decoder puts together, with the victim's certificate at hand. */
const pieces = [
  ...['"', '"', '"', '\\', '\\"', ',', ';', '=', ' ', '\t', 'a', '%', '%22', '%2C'],
  ...['By=', 'URI=', 'By="', 'URI="', 'Cert="', 'Chain="', 'Subject="', 'Issuer="', 'X="', 'hash', 'Hash'],
  ...[';By="', ',By="', ';X=', ',X=', '",', '";', '",X="', '";X="', 'a"', 'By=a,', 'By="a",'],
  ...[`Hash=${victim}`, `hash=${victim}`, `HASH="${victim}"`, `Hash="${victim}`, `Hash =${victim}`],
  ...[`,Hash=${victim}`, `;Hash=${victim}`, `, Hash=${victim}`, `Hash=${victim},`, `Hash=${victim};`],
  ...[`Hash=${victim};By="`, `Hash=${victim},By="`, `",Hash=${victim}`, `";Hash=${victim}`, `=${victim}`],
  ...[`Hash=${victim};URI="`, `Cert="${cert}"`, `By=a;Hash=${victim};X="a`, victim],
  ...[
    '[',
    ']',
    '{',
    '}',
    '[{',
    '}]',
    '"}]',
    '":"',
    `[{"hash":"${victim}","x":"`,
    `[{"hash":"${victim}"},{"x":"`,
  ],
];

/** A small generator (mulberry32): fast-check's own would take most of the time of so many headers. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

type Dice = (below: number) => number;

/** What begins a list around the element of a proxy that writes text, and what ends it. */
const listEnds = [`[{"hash":"${victim}","x":"`, 'a"}]', '"}]'];

function hostileText(dice: Dice): string {
  if (dice(6) === 0) {
    return listEnds[dice(listEnds.length)] as string;
  }
  let text = '';
  for (let count = dice(6); count > 0; count -= 1) {
    text += pieces[dice(pieces.length)];
  }
  return text;
}

function hostileTexts(dice: Dice): string[] {
  return Array.from({ length: dice(3) }, () => hostileText(dice));
}

/** RFC 2253 as OpenSSL writes it. */
const asName = (text: string): string => `CN=${text.replace(/["\\,;+<>]/g, '\\$&')}`;

/**
 * One element as Envoy's `mutateXfccRequestHeader()` writes it: By, Hash, then the details that are switched on, in the
 * order of its configuration. The Issuer is of later versions.
 */
function envoyElement(dice: Dice, by: readonly string[], hash: string, names: () => string): string {
  const details = dice(64);
  const list = (key: string): string[] => hostileTextsOf(dice, names).map((text) => `${key}=${text}`);
  const uris = (details & 8) !== 0 ? list('URI') : [];
  return [
    ...by.map((uri) => `By=${uri}`),
    `Hash=${hash}`,
    ...((details & 1) !== 0 ? [`Cert="${cert}"`] : []),
    ...((details & 2) !== 0 ? [`Chain="${cert}"`] : []),
    ...((details & 4) !== 0 ? [`Subject="${asName(names())}"`] : []),
    ...((details & 32) !== 0 ? [`Issuer="${asName(names())}"`] : []),
    ...((details & 8) !== 0 && uris.length === 0 ? ['URI='] : uris),
    ...((details & 16) !== 0 ? list('DNS') : []),
  ].join(';');
}

function hostileTextsOf(dice: Dice, names: () => string): string[] {
  return Array.from({ length: dice(3) }, names);
}

interface Arrived {
  readonly hops: number;
  readonly value: string;
}

/** What reaches the API: the client's own header, where the first Envoy appends, and an element of each Envoy. */
function forgedHeader(dice: Dice): Arrived {
  const hops = 1 + dice(3);
  const appends = dice(4) !== 0;
  const sent = appends ? hostileTexts(dice).filter((line) => line !== '') : [];
  const by = [[], ['spiffe://api'], ['spiffe://api', 'urn:api']][dice(3)] as string[];
  const first = envoyElement(dice, by, own, () => hostileText(dice));
  const others = Array.from({ length: hops - 1 }, () =>
    // The certificate of a gateway is the operator's; its Cert would be another, so only names are written.
    envoyElement(dice, by, gateway, () => 'spiffe://gateway').replace(/;(?:Cert|Chain)="[^"]*"/g, ''),
  );
  return { hops, value: [...sent, first, ...others].join(',') };
}

function outcome({ hops, value }: Arrived): string {
  const decoded = createXfccDecoder(hops)(value);
  switch (decoded.kind) {
    case 'certificate':
      return createHash('sha256').update(decoded.der).digest('hex');
    case 'hash':
      return Buffer.from(decoded.thumbprint, 'base64url').toString('hex');
    default:
      return decoded.kind;
  }
}

/** An element of a proxy that stands within quotes: what the count of Hash= is for. */
const swallowed = new RegExp(`"[^"]*[,;]Hash=(?:${own}|${gateway})[^"]*"(?:[,;]|$)`);

const headersOfOneRun = 100;

describe('no header and no name of a client changes which certificate counts', () => {
  it('in either forward mode, behind one to three Envoys, with each set of details', () => {
    const seen = new Set<string>();
    let hidden = 0;
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = random(seed);
        for (let i = 0; i < headersOfOneRun; i += 1) {
          const header = forgedHeader(dice);
          const found = outcome(header);
          seen.add(found);
          hidden += swallowed.test(header.value) ? 1 : 0;
          if (found !== own && found !== 'malformed') {
            throw new Error(`${found} for ${JSON.stringify(header)}`);
          }
        }
      }),
      runs(2_000),
    );
    expect([...seen].sort()).toEqual([own, 'malformed'].sort());
    expect(hidden).toBeGreaterThan(0);
  });

  it.each<[string, string, number]>([
    ['a URI closes the quote that the header opens', `Hash=${victim};By=",By=a;Hash=${own};URI=a"`, 1],
    ['a DNS name closes it', `Hash=${victim};By=",Hash=${own};URI=;DNS=a"`, 1],
    ['in lower case', `hash=${victim};by=",Hash=${own};URI=a"`, 1],
    ['before another proxy’s element', `Hash=${victim};By=",Hash=${own};URI=a",Hash=${gateway}`, 2],
    ['without a Hash of its own', `By=",Hash=${own};URI=a",Hash=${gateway}`, 2],
    ['with a Cert alone', `Cert="${cert}";By=",Hash=${gateway};URI=a"`, 1],
    ['a Hash within an escaped Subject', `Hash=${own};Subject="CN=a\\,Hash=${victim}"`, 1],
  ])('%s: malformed', (_title, value, hops) => {
    expect(createXfccDecoder(hops)(value).kind).toBe('malformed');
  });
});
