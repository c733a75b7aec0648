import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root, textOf } from './pages.js';

const page = textOf('docs/reference/authorization-servers/spring.md');
const folder = join(root, 'test/support/spring-authorization-server');
const sourceFolder = join(folder, 'src/main/java/bank');

/** Without line ends and indentation, which differ between the page and a class. */
const joined = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

const blocksOf = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ([, code = '']) => code,
  );

describe('what the page of Spring shows is what the tests run', () => {
  const sources = readdirSync(sourceFolder).map((name) => readFileSync(join(sourceFolder, name), 'utf8'));
  const program = sources.map(joined).join('\n');
  const started = textOf('test/support/spring.ts');

  it.each(blocksOf('java').map((code) => [code.trim().split('\n')[0], code]))('%s', (_title, code = '') => {
    expect(program).toContain(joined(code));
  });

  it.each(
    blocksOf('properties')
      .flatMap((block) => block.trim().split('\n'))
      .map((line) => line.replace(/=.*/, '=')),
  )('%s', (property) => {
    expect(started).toContain(`\n${property}`);
  });

  it('the page names the version of Spring Boot that is tried', () => {
    const pom = readFileSync(join(folder, 'pom.xml'), 'utf8');
    const [, version] =
      /<artifactId>spring-boot-starter-parent<\/artifactId>\s*<version>([^<]+)</.exec(pom) ?? [];
    expect(page).toContain(`in Spring Boot ${version}.`);
  });
});
