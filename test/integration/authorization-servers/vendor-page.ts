import * as expressMtls from 'express-mtls';
import * as koaMtls from 'koa-mtls';
import { textOf } from '../../docs/pages.js';
import type { Framework } from '../../support/apis.js';
import { pageOptions } from './page-options.js';

/** A JWT as a page shows it. */
export interface ShownJwt {
  readonly header: { readonly alg: string; readonly typ?: string };
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What the page of an authorization server shows: its options, and the tokens and answers of that server. */
export interface VendorPage {
  /** The headings of options, below "Options". */
  readonly headings: readonly string[];
  options(heading: string, framework: Framework): Options;
  /** The JWT that belongs to the options below this heading. */
  jwt(heading: string): ShownJwt;
  readonly introspectionAnswer: Readonly<Record<string, unknown>>;
  readonly idToken: ShownJwt;
  /** The options of `jwtAccessTokens()` below a heading, as they are written. */
  jwtOptions(heading: string): expressMtls.JwtAccessTokensOptions;
}

type Options = expressMtls.ResourceServerOptions;

const environment = {
  'process.env.MTLS_BOUND_CLIENT_SECRET': "'a-client-secret'",
  'process.env.API_TOKEN': "'a-token'",
};

export function vendorPage(name: string): VendorPage {
  const path = `docs/reference/authorization-servers/${name}.md`;
  const text = textOf(path);
  const blocksBelow = (heading: string): unknown[] => {
    const [, section = ''] = text.split(`\n### ${heading}\n`);
    const [own = ''] = section.split(/\n##/);
    return [...own.matchAll(/^```json\n([\s\S]*?)^```/gm)].map(([, json = '']) => JSON.parse(json));
  };
  const jwtBelow = (heading: string): ShownJwt => {
    const [header, claims, ...others] = blocksBelow(heading);
    if (claims === undefined || others.length > 0) {
      throw new Error(`${path} does not show one header and its claims below "${heading}"`);
    }
    return { header, claims } as ShownJwt;
  };
  const [, ofOptions = ''] = text.split('\n## Options\n');
  return {
    headings: [...(ofOptions.split('\n## ')[0] ?? '').matchAll(/^### (.+)$/gm)].map(([, one = '']) => one),
    options: (heading, framework) =>
      pageOptions(path, heading, framework === 'Express' ? expressMtls : koaMtls, environment),
    jwt: (heading) => jwtBelow(heading.replace(/^By /, '')),
    get introspectionAnswer() {
      return blocksBelow('Introspection answer')[0] as Readonly<Record<string, unknown>>;
    },
    get idToken() {
      return jwtBelow('ID token');
    },
    jwtOptions(heading) {
      const [, section = ''] = text.split(`\n### ${heading}\n`);
      const [, given = '{}'] = /jwtAccessTokens\((\{[\s\S]*?\})?\),?\n/.exec(section) ?? [];
      return new Function(`return ${given}`)();
    },
  };
}
