import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Project, ts } from 'ts-morph';
import { root } from './pages.js';

/** Something that users may import, as it is declared. */
export interface PublicExport {
  readonly name: string;
  /** The text of its doc comment; empty when there is none. */
  readonly comment: string;
  /** As TypeScript declares it, with the comments of its members. */
  readonly declaration: string;
}

/** A property or method of an interface or class. */
export interface PublicMember {
  readonly name: string;
  /** In one line; empty when there is none. */
  readonly comment: string;
  readonly type: string;
  readonly isOptional: boolean;
}

/** What users may import, by package, as it is built. */
export const entries: Readonly<Record<string, string>> = {
  '@mtls-bound/core': 'packages/core/dist/index.d.ts',
  '@mtls-bound/core/testing': 'packages/core/dist/testing/index.d.ts',
  '@mtls-bound/core/opentelemetry': 'packages/core/dist/observe/opentelemetry.d.ts',
  'express-mtls': 'packages/express-mtls/dist/index.d.ts',
  'koa-mtls': 'packages/koa-mtls/dist/index.d.ts',
};

/** Those of a package itself, sorted by name; not those that an adapter hands on. */
export function publicExports(entry: string): PublicExport[] {
  const file = join(root, entry);
  const text = readFileSync(file, 'utf8');
  const handedOn = [...text.matchAll(/^export (?:type )?\{([^}]+)\} from '(\.[^']+)\.js';/gm)].flatMap(
    ([, names = '', module = '']) => {
      const path = join(dirname(file), `${module}.d.ts`);
      const source = readFileSync(path, 'utf8');
      return names
        .split(',')
        .map((name) => name.replace(/^\s*type /, '').trim())
        .filter((name) => name !== '')
        .map((name) => expandOptions(path, declared(source, name)));
    },
  );
  const ofWholeFiles = [...text.matchAll(/^export (?:type )?\* from '(\.[^']+)\.js';/gm)].flatMap(
    ([, module = '']) => declarationsIn(join(dirname(file), `${module}.d.ts`)),
  );
  return [...handedOn, ...ofWholeFiles, ...declarationsIn(file)].toSorted((a, b) =>
    a.name.localeCompare(b.name, 'en'),
  );
}

/** Those that a file declares itself. */
function declarationsIn(path: string): PublicExport[] {
  const source = readFileSync(path, 'utf8');
  const names = /^export (?:declare )?(?:abstract )?(?:function|interface|type|class|const) (\w+)/gm;
  const found = [...source.matchAll(names)].map(([, name = '']) => name);
  return [...new Set(found)].map((name) => expandOptions(path, declared(source, name)));
}

function declared(source: string, name: string): PublicExport {
  const start = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:function|interface|type|class|const) ${name}\\b`,
    'm',
  ).exec(source);
  if (start === null) {
    throw new Error(`${name} is exported, but nowhere declared`);
  }
  const rest = source.slice(start.index);
  // A declaration ends where the next line of no indentation begins that neither closes it nor goes before ` | `.
  const end = /\n(?=\S)(?!\}|\/\*\*.*\*\/\n \|)/.exec(rest)?.index ?? rest.length;
  const before = source.slice(0, start.index).trimEnd();
  const comment = before.endsWith('*/') ? before.slice(before.lastIndexOf('/**') + 3, -2) : '';
  const declaration = rest.slice(0, end).trimEnd();
  return { name, comment: plain(comment) || commentOfMember(name, declaration), declaration };
}

/** The files of the core whose members the functions of the adapters are, as editors show them. */
const adapterFiles = ['packages/core/dist/adapter/adapter.d.ts', 'packages/core/dist/policy/guards.d.ts'];

/** The comment of `Adapter['name']`, for a constant of this type; empty for any other. */
function commentOfMember(name: string, declaration: string): string {
  if (!new RegExp(`^export declare const ${name}: \\w+\\['${name}'\\];$`).test(declaration)) {
    return '';
  }
  const comments = adapterFiles.flatMap((path) =>
    [
      ...readFileSync(join(root, path), 'utf8').matchAll(
        / {4}\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n {4}(\w+)[<(]/g,
      ),
    ]
      .filter(([, , member]) => member === name)
      .map(([, comment = '']) => plain(comment)),
  );
  return comments[0] ?? '';
}

const project = new Project({
  skipAddingFilesFromTsConfig: true,
  compilerOptions: {
    strict: true,
    exactOptionalPropertyTypes: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
  },
});

/** Writes the members out that an interface has by `OptionsOf<typeof group>`, as an editor shows them. */
function expandOptions(path: string, one: PublicExport): PublicExport {
  const [clause, group] = /(?:, | extends )OptionsOf<typeof (\w+)>/.exec(one.declaration) ?? [];
  if (clause === undefined || group === undefined) {
    return one;
  }
  const file = project.addSourceFileAtPath(path);
  const place = file.getInterfaceOrThrow(one.name);
  const checker = project.getTypeChecker().compilerObject;
  const ownNames = new Set(
    file
      .getVariableDeclarationOrThrow(group)
      .getType()
      .getProperties()
      .map((property) => property.getName()),
  );
  const members = place
    .getType()
    .getProperties()
    .filter((property) => ownNames.has(property.getName()))
    .map((property) => {
      const comment = ts.displayPartsToString(property.compilerSymbol.getDocumentationComment(checker));
      const type = checker.typeToString(
        checker.getTypeOfSymbolAtLocation(property.compilerSymbol, place.compilerNode),
        place.compilerNode,
        ts.TypeFormatFlags.NoTruncation |
          ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope |
          ts.TypeFormatFlags.UseSingleQuotesForStringLiteralType,
      );
      const mark = property.isOptional() ? '?' : '';
      const lines = comment.split('\n');
      const doc =
        lines.length === 1
          ? `    /** ${comment} */`
          : ['    /**', ...lines.map((line) => `     * ${line}`), '     */'].join('\n');
      return `${doc}\n    readonly ${property.getName()}${mark}: ${mark === '?' ? type.replace(/ \| undefined$/, '') : type};`;
    });
  const head = one.declaration.replace(clause, '').replace(/\{\s*\}$/, '{');
  return { ...one, declaration: [head, ...members, '}'].join('\n') };
}

/** Those of a declaration itself, as TypeScript prints them: four blanks before each. */
export function membersOf({ declaration }: PublicExport): PublicMember[] {
  const member =
    /^ {4}(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n {4})?(?:(?:readonly|abstract|get) )*(\w+)(\??)(?:: |(?=\())([\s\S]*?);$(?=\n {4}\S|\n\})/gm;
  return [...declaration.matchAll(member)]
    .map(([, comment = '', name = '', mark, type = '']) => ({
      name,
      comment: plain(comment).replaceAll(/\s*\n\s*/g, ' '),
      type,
      isOptional: mark === '?',
    }))
    .filter(({ name }) => name !== 'constructor');
}

function plain(comment: string): string {
  return comment
    .split('\n')
    .map((line) => line.replace(/^\s*\*? ?/, ''))
    .join('\n')
    .trim();
}

/** The page of the reference. */
export function referencePage(): string {
  const sections = Object.entries(entries).map(([module, entry]) =>
    [`## ${module}`, ...publicExports(entry).map(section)].join('\n\n'),
  );
  const head =
    '# API reference\n\nMade from the doc comments: `SYNC_DOCS=1 npx vitest run test/docs`. The adapters hand on everything of ' +
    '`@mtls-bound/core` too, and have its entries `/testing` and `/opentelemetry`.';
  return `${[head, ...sections].join('\n\n')}\n`;
}

function section({ name, comment, declaration }: PublicExport): string {
  const [words = '', example] = comment.split(/\n?@example\n/);
  const shown = example === undefined ? [] : [`\`\`\`javascript\n${example.trim()}\n\`\`\``];
  const described = words.replace(/^@(param|returns) /gm, '- `$1` ').trim();
  return [`### ${name}`, described, ...shown, `\`\`\`typescript\n${declaration}\n\`\`\``].join('\n\n');
}
