// The site: the very pages of this repository, as they are, with search. `npm run docs` shows it while you write.
import { type DefaultTheme, defineConfig } from 'vitepress';
import { navigation, sitePathOf } from './contents.js';
import { githubMarkdown, slugOf } from './markdown.js';

const base = process.env.DOCS_BASE ?? '/';
const repository = process.env.DOCS_REPOSITORY;

const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect x="5" y="14" width="22" height="15" rx="3"/>' +
  '<path d="M10 14V9a6 6 0 0 1 12 0v5" fill="none" stroke="black" stroke-width="3"/></svg>';

const themeConfig: DefaultTheme.Config = {
  nav: navigation.map(({ text, items }) => ({ text, link: items[0]?.link ?? '/' })),
  sidebar: navigation,
  outline: [2, 3],
  search: { provider: 'local' },
  ...(repository === undefined
    ? {}
    : { socialLinks: [{ icon: 'github', link: repository, ariaLabel: 'repository' }] }),
};

export default defineConfig({
  title: 'mtls-bound',
  description: 'Certificate-bound access tokens (RFC 8705) for Express and Koa',
  lang: 'en',
  head: [['link', { rel: 'icon', href: `data:image/svg+xml,${encodeURIComponent(icon)}` }]],
  base: base.endsWith('/') ? base : `${base}/`,
  srcDir: '..',
  srcExclude: ['**/dist/**', '**/target/**', 'test/**', 'packages/*/src/**', '.github/**', '.stryker-tmp/**'],
  rewrites: sitePathOf,
  vite: {
    build: { chunkSizeWarningLimit: 2_000 },
  },
  themeConfig,
  markdown: {
    anchor: { slugify: slugOf },
    languageAlias: { mjs: 'js' },
    config: (md) => githubMarkdown(md, repository),
  },
});
