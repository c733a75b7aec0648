// The site, built from the pages and looked at in a real browser.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type BrowserPage, openBrowser } from '../support/browser.js';
import { close, listen } from '../support/loopback.js';
import { describeReal, findProgram } from '../support/programs.js';
import { pages, root } from './pages.js';

// As GitHub Pages has it.
const base = '/mtls-bound/';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.woff2': 'font/woff2',
};

/** Serves the files of a folder below the base. */
function serveFolder(folder: string): Server {
  return createServer((req, res) => {
    const { pathname } = new URL(req.url ?? '/', 'http://localhost');
    const path = pathname.startsWith(base) ? normalize(pathname.slice(base.length - 1)) : '/404';
    const file = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    if (!existsSync(file)) {
      res.writeHead(404).end();
      return;
    }
    res.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream' });
    res.end(readFileSync(file));
  });
}

describeReal('chromium', 'the site in a browser', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-site-'));
  let server: Server;
  let page: BrowserPage;
  let origin = '';

  beforeAll(async () => {
    // A link that leads nowhere fails the build.
    await promisify(execFile)(
      process.execPath,
      [join(root, 'node_modules/vitepress/bin/vitepress.js'), 'build', 'docs', '--outDir', folder],
      { cwd: root, env: { ...process.env, NODE_ENV: 'production', DOCS_BASE: base } },
    );
    server = serveFolder(folder);
    origin = `http://127.0.0.1:${await listen(server as never)}`;
    page = await openBrowser(findProgram('chromium') ?? '');
  }, 600_000);

  afterAll(async () => {
    await page?.close();
    await close(server as never);
    rmSync(folder, { recursive: true, force: true });
  });

  const shownIn = async (selector: string): Promise<string[]> =>
    (await page.evaluate(
      `[...document.querySelectorAll(${JSON.stringify(selector)})].filter((e) => e.checkVisibility()).map((e) => (e.innerText ?? e.textContent).trim())`,
    )) as string[];

  const shoot = async (name: string): Promise<void> => {
    if (process.env.SCREENSHOTS) {
      await page.screenshot(join(process.env.SCREENSHOTS, `${name}.png`));
    }
  };

  it('the front page is the README, with the navigation that docs/README.md has', async () => {
    await page.goTo(`${origin}${base}`);
    await page.waitFor(`document.querySelector('.VPContent h1') !== null`);
    await shoot('front');
    expect(await page.evaluate('document.title')).toBe('mtls-bound');
    expect(await shownIn('.VPContent h1')).toEqual(['mtls-bound\n\u200b']);
    expect(await shownIn('.VPNavBarMenu a')).toEqual(expect.arrayContaining(['Guides', 'Reference']));
    expect(await shownIn('.VPSidebar a')).toEqual(
      expect.arrayContaining(['Getting started', 'Where TLS ends', 'Options']),
    );
  });

  it('a link of the navigation opens a guide, with its own heading and outline', async () => {
    await page.goTo(`${origin}${base}`);
    await page.waitFor(`document.querySelector('.VPSidebar a') !== null`);
    await page.evaluate(
      `[...document.querySelectorAll('.VPSidebar a')].find((e) => e.innerText.trim() === 'Getting started').click()`,
    );
    await page.waitFor(`location.pathname.endsWith('guides/getting-started.html')`);
    await page.waitFor(`document.title.startsWith('Getting started')`);
    await shoot('guide');
    const [heading = ''] = await shownIn('.VPContent h1');
    expect(heading).toContain('Getting started');
    expect((await shownIn('.VPDocAsideOutline a')).length).toBeGreaterThan(3);
    expect((await shownIn('.VPContent pre code')).join('\n')).toContain('requestCert: true');
  });

  it('a picture of a page is drawn', async () => {
    await page.goTo(`${origin}${base}guides/tls.html`);
    await page.waitFor(`document.querySelector('pre.mermaid svg') !== null`);
    await shoot('picture');
    expect((await shownIn('pre.mermaid svg')).join(' ')).toContain('a proxy or load balancer');
  });

  it('the search finds requireScopes', async () => {
    await page.goTo(`${origin}${base}`);
    await page.waitFor(`document.querySelector('.VPNavBarSearch button') !== null`);
    await page.evaluate(`document.querySelector('.VPNavBarSearch button').click()`);
    await page.waitFor(`document.querySelector('#localsearch-input') !== null`);
    await page.evaluate(`document.querySelector('#localsearch-input').focus()`);
    await page.type('requireScopes');
    await page.waitFor(`document.querySelectorAll('.VPLocalSearchBox .result').length > 0`);
    await shoot('search');
    const results = await shownIn('.VPLocalSearchBox .result');
    expect(results.join('\n')).toContain('requireScopes');
    await page.evaluate(`document.querySelector('.VPLocalSearchBox .result').click()`);
    await page.waitFor(`document.querySelector('.VPLocalSearchBox') === null`);
    await page.waitFor(`document.querySelector('.VPContent').innerText.includes('requireScopes')`);
  });

  it('each page of docs is in the site', () => {
    const missing = pages
      .filter((path) => path.startsWith('docs/'))
      .map((path) =>
        path === 'docs/README.md'
          ? 'docs.html'
          : path
              .slice('docs/'.length)
              .replace(/README\.md$/, 'index.md')
              .replace(/\.md$/, '.html'),
      )
      .filter((path) => !existsSync(join(folder, path)));
    expect(missing).toEqual([]);
  });

  it('the pages load nothing from elsewhere, and nothing in them fails', () => {
    expect(page.requested.filter((url) => !url.startsWith(`${origin}${base}`))).toEqual([]);
    expect(page.troubles).toEqual([]);
  });
});
