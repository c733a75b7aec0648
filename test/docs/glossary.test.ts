import * as core from '@mtls-bound/core';
import * as expressMtls from 'express-mtls';
import * as koaMtls from 'koa-mtls';
import { describe, expect, it } from 'vitest';
import { pages, textOf } from './pages.js';
import { entries, publicExports } from './public-api.js';

const page = textOf('docs/architecture.md');
const [, table = ''] = /## Glossary\n([\s\S]*?)\n## /.exec(page) ?? [];
const terms = [...table.matchAll(/^\| ([^|]+) \| ([^|]+) \|$/gm)]
  .map(([, term = '']) => term.trim())
  .filter((term) => term !== 'term' && term !== '---');

/** Words that mean in our names what they mean in English, in Node or in the name of a product. */
const ordinary = new Set(
  `
  accepted acr action add age alg app bad kit means resumption select telemetry test active address admission admitted ahead alternative and answer any apache asked async auth authenticated authorized aws
  azure base basic behind body bound breaker by ca caddy call cert certified check cipher class clock cloud cloudflare code command
  common concurrent configuration connection content context connect count create custom custom data day decode decoded decryption depth
  description disabled dns document duration email encoding entry envoy exempt exit explain express extended f5 facts factory failure
  fetch field file final flight flow forward forwarded found foundry front function gateway google granted guarded handler hap haproxy has
  disconnect keep keeper promise return hash heard hint hop host http id if in ingress instance interval ip is istio jwk kid kind kong lambda latest length libra lifetime line link list
  listed listener local location logger longest lost mark match max member meaning method mismatch missing mode mount mtls must name named next nginx node
  none now nothing number observe observed observer of off on only open option optional or other outgoing page parameter part path permitted
  position post post prefix presented private prometheus protected provider psd2 public query queued range rate read reader reading
  ready reason receive redacted redis refresh refuse refused refusing registry reply report reported request require required requirement
  resource response result retry rfc9440 root route row rule san selected selection selector self sender server service shared show
  signature signed since size socket spread stage stale standard state statement status subscriber subscription summary supported tail
  target tenant time timeout tls tolerance traefik transport trim trusted type typ uncalled uni unknown until update uri usage used user
  valid value values vary verification verified verify via view wait waiting when while window with without x xfcc year alb
  `
    .split(/\s+/)
    .filter((word) => word !== ''),
);

const wordsOf = (name: string): string[] =>
  name
    .split(/[^A-Za-z\d]+|(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/)
    .map((word) => word.toLowerCase())
    .filter((word) => word !== '');

const isKnown = (word: string): boolean => {
  const singular = word.endsWith('ies') ? `${word.slice(0, -3)}y` : word.replace(/s$/, '');
  const inTerms = terms.some((term) => wordsOf(term).some((one) => one === word || one === singular));
  return inTerms || ordinary.has(word) || ordinary.has(singular);
};

const exported = new Set([
  ...Object.keys(core),
  ...Object.keys(expressMtls),
  ...Object.keys(koaMtls),
  ...Object.values(entries).flatMap((entry) => publicExports(entry).map(({ name }) => name)),
]);
const optionsPage = pages.find((path) => path.endsWith('/options.md')) ?? '';
const options = new Set(
  [...textOf(optionsPage).matchAll(/^\| `([\w.()]+)` \|/gm)].map(([, name = '']) => name),
);

describe('the glossary of docs/architecture.md', () => {
  it('has one line for each term', () => {
    expect(terms.length).toBeGreaterThan(50);
    expect(new Set(terms.map((term) => term.toLowerCase())).size).toBe(terms.length);
  });

  it.each([...exported])('has each word of the exported name %s', (name) => {
    expect(wordsOf(name).filter((word) => !isKnown(word))).toEqual([]);
  });

  it('reads a hundred options or more', () => {
    expect(options.size).toBeGreaterThan(100);
  });

  it.each([...options])('has each word of the option %s', (name) => {
    expect(wordsOf(name).filter((word) => !isKnown(word))).toEqual([]);
  });
});
