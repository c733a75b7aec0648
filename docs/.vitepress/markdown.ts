// The pages are written for GitHub; here the site reads them as GitHub does.
import { existsSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import footnote from 'markdown-it-footnote';
import type { MarkdownRenderer } from 'vitepress';
import { root, siteLinkTo } from './contents.js';

/** Makes anchors of headings as GitHub does. */
export function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

/** What a page of GitHub may hold of HTML. Anything else in angle brackets is text. */
const allowedTag = /^<\/?(br|details|summary|sub|sup|kbd)\s*\/?>$/;

export function githubMarkdown(md: MarkdownRenderer, repository: string | undefined): void {
  md.use(footnote);
  const { escapeHtml } = md.utils;

  const html = (content: string): string =>
    content
      .replaceAll(/<!--[\s\S]*?-->/g, '')
      .split(/(<[^>]*>)/)
      .map((part) =>
        allowedTag.test(part) ? part : part.replaceAll('<', '&lt;').replaceAll('{{', '&#123;&#123;'),
      )
      .join('');
  md.renderer.rules.html_block = (tokens, index) => html(tokens[index]?.content ?? '');
  md.renderer.rules.html_inline = (tokens, index) => html(tokens[index]?.content ?? '');
  // Vue would read {{ }} as code.
  md.renderer.rules.text = (tokens, index) =>
    escapeHtml(tokens[index]?.content ?? '').replaceAll('{{', '&#123;&#123;');

  const fence = md.renderer.rules.fence;
  md.renderer.rules.fence = (...args) => {
    const [tokens, index] = args;
    const { info = '', content = '' } = tokens[index] ?? {};
    return info.trim() === 'mermaid'
      ? `<pre class="mermaid" v-pre>${escapeHtml(content)}</pre>\n`
      : (fence?.(...args) ?? '');
  };

  // Pages of the repository are pages of the site. Other files are in the repository; where that is not known, they are not linked.
  md.core.ruler.push('links_of_the_repository', ({ tokens, env }) => {
    for (const { children } of tokens) {
      let isUnlinked = false;
      for (const token of children ?? []) {
        const href = token.type === 'link_open' ? token.attrGet('href') : null;
        if (href !== null && !/^([a-z]+:|#|\/)/.test(href)) {
          const link = linkFrom(env.realPath ?? env.path, href, repository);
          isUnlinked = link === undefined;
          token.attrSet('href', link ?? '');
        }
        if (isUnlinked && token.type.startsWith('link_')) {
          isUnlinked = token.type === 'link_open';
          token.type = 'text';
        }
      }
    }
  });
}

/** Returns the link as the site has it. One that leads nowhere stays as it is, and fails the build. */
function linkFrom(file: string, href: string, repository: string | undefined): string | undefined {
  const [path = '', anchor] = href.split('#');
  const from = posix.dirname(posix.relative(root, file));
  const target = posix.join(from, decodeURIComponent(path)).replace(/\/$/, '');
  const suffix = anchor === undefined ? '' : `#${anchor}`;
  if (!existsSync(join(root, target))) {
    return href;
  }
  const isFolder = statSync(join(root, target)).isDirectory();
  const page = isFolder ? posix.join(target, 'README.md') : target;
  if (page.endsWith('.md') && existsSync(join(root, page))) {
    return `${siteLinkTo(page)}${suffix}`;
  }
  const kind = isFolder ? 'tree' : 'blob';
  return repository === undefined ? undefined : `${repository}/${kind}/main/${target}${suffix}`;
}
