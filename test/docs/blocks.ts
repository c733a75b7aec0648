import { pages, textOf } from './pages.js';

/** A block of JavaScript that a page shows. */
export interface Block {
  readonly name: string;
  readonly page: string;
  readonly framework: 'express' | 'koa';
  readonly code: string;
}

/** Every one: of the pages, and of the examples in doc comments, which the reference shows. */
export const blocks: readonly Block[] = pages.flatMap((page) =>
  [
    ...textOf(page).matchAll(/^```(?:js|ts|javascript)\n([\s\S]*?)^```|@example\n((?: +\* .*\n)+?) +\*\//gm),
  ].map(({ 1: shown, 2: ofMember = '', index }, i) => {
    const code = shown ?? ofMember.replaceAll(/^ +\* /gm, '');
    const isKoa =
      page.includes('koa') || moduleAt(page, index) === 'koa-mtls' || /from 'koa(-mtls)?'/.test(code);
    return {
      name: `${page.replaceAll(/\W+/g, '-')}-${i + 1}`,
      page,
      framework: isKoa ? 'koa' : 'express',
      code,
    };
  }),
);

/** The section of the reference, named after the package that exports it. */
function moduleAt(page: string, index: number): string | undefined {
  return [
    ...textOf(page)
      .slice(0, index)
      .matchAll(/^## (.+)$/gm),
  ].at(-1)?.[1];
}
