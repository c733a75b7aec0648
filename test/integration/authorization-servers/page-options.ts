import type * as expressMtls from 'express-mtls';
import type * as koaMtls from 'koa-mtls';
import { textOf } from '../../docs/pages.js';

type Adapter = typeof expressMtls | typeof koaMtls;

/** Reads the options that a page shows below a heading, with some of its words replaced. */
export function pageOptions(
  page: string,
  heading: string,
  adapter: Adapter,
  replace: Readonly<Record<string, string>>,
): expressMtls.ResourceServerOptions {
  const [, section = ''] = textOf(page).split(`\n### ${heading}\n`);
  const [, names = '', code = ''] =
    /^```js\nimport \{ ([^}]+) \} from 'express-mtls';[^\n]*\n([\s\S]*?)^```/m.exec(section) ?? [];
  const text = Object.entries(replace).reduce((changed, [from, to]) => changed.replaceAll(from, to), code);
  const given: expressMtls.ResourceServerOptions[] = [];
  const parts: Record<string, unknown> = {
    ...adapter,
    mtlsBound: (options: expressMtls.ResourceServerOptions) => given.push(options),
  };
  const imported = names.split(', ');
  const run = new Function('app', ...imported, text);
  run({ use: () => undefined }, ...imported.map((name) => parts[name]));
  const [options] = given;
  if (options === undefined || given.length > 1) {
    throw new Error(`${page} does not show the options of one mtlsBound() below "${heading}"`);
  }
  return options;
}
