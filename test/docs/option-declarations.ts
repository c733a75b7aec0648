import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Node, Project, ts } from 'ts-morph';
import type { DefaultedOption, Option, RequiredOption } from '../../packages/core/src/shared/option-group.js';
import { root } from './pages.js';

type Declared = Option<unknown> & Partial<DefaultedOption<unknown> & RequiredOption<unknown>>;

/** One option as it stands in the source. */
export interface DeclaredOption {
  /** Names it in test titles: `cacheOptions.maxAge`. */
  readonly path: string;
  readonly option: Declared;
  /** The text of its doc comment, in one line. */
  readonly comment: string;
  /** Where the doc comment stands. */
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

const folder = join(root, 'packages/core/src');

/** Each option of each `optionGroup()` of core. */
export async function declaredOptions(): Promise<DeclaredOption[]> {
  const project = new Project({ skipAddingFilesFromTsConfig: true });
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const found: DeclaredOption[] = [];
  for (const file of files) {
    const source = project.addSourceFileAtPath(join(folder, file));
    if (!source.getText().includes('optionGroup({')) {
      continue;
    }
    const module = await import(pathToFileURL(join(folder, file)).href);
    for (const variable of source.getVariableDeclarations()) {
      const call = variable.getInitializer();
      const literal =
        Node.isCallExpression(call) &&
        call.getExpression().getText() === 'optionGroup' &&
        variable.isExported()
          ? call.getArguments()[0]
          : undefined;
      if (!Node.isObjectLiteralExpression(literal)) {
        continue;
      }
      for (const property of literal.getProperties()) {
        if (Node.isPropertyAssignment(property)) {
          const name = property.getName();
          const doc = ts.getJSDocCommentsAndTags(property.compilerNode)[0] as ts.JSDoc | undefined;
          found.push({
            path: `${variable.getName()}.${name}`,
            option: module[variable.getName()][name],
            comment: (ts.getTextOfJSDocComment(doc?.comment) ?? '').replaceAll(/\s*\n\s*/g, ' '),
            file: join(folder, file),
            start: doc?.getStart() ?? property.getStart(),
            end: doc?.getEnd() ?? property.getStart(),
          });
        }
      }
    }
  }
  return found;
}

/** What a doc comment must end in: the default, the limits and the environment variable, as declared. */
export function endingOf(option: Declared): string {
  const {
    limits,
    limitsNote = '',
    requiredInWords,
    defaultText,
    defaultInWords = 'none',
    environment,
  } = option;
  const number = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 3 });
  const range =
    limits === undefined ? '' : `; from ${number(limits.min)} to ${number(limits.max)}${limitsNote}`;
  const whenMissing = defaultText === undefined ? `Default: ${defaultInWords}` : `Default ${defaultText}`;
  const isRequired = option.isRequired === true || requiredInWords !== undefined;
  const { name, note = '' } =
    typeof environment === 'string' ? { name: environment } : (environment ?? { name: undefined });
  const variable = name === undefined ? '' : ` Environment: \`${name}\`${note}.`;
  return `${isRequired ? `Required${requiredInWords ?? ''}` : `${whenMissing}${range}`}.${variable}`;
}

/** The comment with the ending that its declaration asks for. */
export function withEnding({ comment, option }: DeclaredOption): string {
  const at = Math.max(comment.lastIndexOf(' Default'), comment.lastIndexOf(' Required'));
  const sentence = at < 0 ? comment : comment.slice(0, at);
  return `${sentence} ${endingOf(option)}`;
}

/** Writes the endings that are declared into the source. */
export function writeEndings(options: readonly DeclaredOption[]): void {
  // From the last to the first, so that the places of the others stay.
  for (const one of options.toReversed().filter((option) => option.comment !== withEnding(option))) {
    const text = readFileSync(one.file, 'utf8');
    writeFileSync(one.file, text.slice(0, one.start) + written(withEnding(one)) + text.slice(one.end));
  }
}

const WIDTH = 100;

/** Wraps a comment, indented as the members of a literal are. */
function written(comment: string): string {
  if (comment.length <= WIDTH - 2 - '/** */'.length - 1) {
    return `/** ${comment} */`;
  }
  const lines: string[] = [];
  for (const word of comment.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= WIDTH - 5) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return ['/**', ...lines.map((line) => `   * ${line}`), '   */'].join('\n');
}
