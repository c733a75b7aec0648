import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ts } from 'ts-morph';
import { describe, expect, it } from 'vitest';
import { filesUnder } from '../../support/files-under.js';

// Sentences are for operators and clients: code that decides by them breaks if a word changes. A place that
// finds something makes a code for it (Reason of errors.ts), and other code compares the code.

const folder = fileURLToPath(new URL('../../../packages', import.meta.url));
const files = filesUnder(folder)
  .filter((path) => /^[\w-]+\/src\/.*\.ts$/.test(path))
  .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }));

const isProse = (text: string): boolean => /[a-z]{2,} [a-z]{2,}/.test(text);

/** The text of a literal, or of literals with + between them. */
function textOf(node: ts.Node | undefined): string | undefined {
  if (node !== undefined && ts.isStringLiteralLike(node)) {
    return node.text;
  }
  if (node === undefined || !ts.isBinaryExpression(node)) {
    return undefined;
  }
  const parts = [textOf(node.left), textOf(node.right)];
  return parts.includes(undefined) ? undefined : parts.join('');
}

const comparisons: ReadonlySet<ts.SyntaxKind> = new Set([
  ts.SyntaxKind.EqualsEqualsToken,
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken,
]);

const tests = /^(?:includes|startsWith|endsWith|indexOf|lastIndexOf|search|match|matchAll|test|exec)$/;

/** Members and variables that hold a sentence. */
const holders = /(?:^|\.)(?:why|detail|hint|message)\)*$/;

/** Finds each place where code compares a text with a sentence, or looks for something in one. */
function findDecisions(sources: readonly { path: string; text: string }[]): string[] {
  const parsed = sources.map(({ path, text }) =>
    ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true),
  );
  const found: string[] = [];
  const exported = new Map(parsed.flatMap((file) => [...sentencesOf(file)]));
  for (const file of parsed) {
    const own = sentencesOf(file);
    const isSentence = (node: ts.Node): boolean => {
      const name = ts.isIdentifier(node) ? node.text : undefined;
      const text =
        name === undefined
          ? textOf(node)
          : (own.get(name) ?? (importsOf(file).has(name) ? exported.get(name) : undefined));
      return text !== undefined && isProse(text);
    };
    const step = (node: ts.Node): void => {
      if (isDecision(node, isSentence)) {
        found.push(`${file.fileName}: ${node.getText().replaceAll(/\s+/g, ' ').slice(0, 100)}`);
      }
      node.forEachChild(step);
    };
    step(file);
  }
  return found;
}

/** The constants of a module that are sentences. */
function sentencesOf(file: ts.SourceFile): Map<string, string> {
  const declared = file.statements
    .filter(ts.isVariableStatement)
    .flatMap(({ declarationList }) => declarationList.declarations);
  return new Map(
    declared.flatMap(({ name, initializer }) => {
      const text = textOf(initializer);
      return text !== undefined && isProse(text) ? [[name.getText(), text]] : [];
    }),
  );
}

function importsOf(file: ts.SourceFile): Set<string> {
  return new Set(
    file.statements
      .filter(ts.isImportDeclaration)
      .flatMap(({ importClause }) => importClause?.namedBindings ?? [])
      .flatMap((bindings) => (ts.isNamedImports(bindings) ? [...bindings.elements] : []))
      .map(({ name }) => name.text),
  );
}

function isDecision(node: ts.Node, isSentence: (node: ts.Node) => boolean): boolean {
  if (ts.isBinaryExpression(node) && comparisons.has(node.operatorToken.kind)) {
    return isSentence(node.left) || isSentence(node.right);
  }
  if (ts.isCaseClause(node)) {
    return isSentence(node.expression);
  }
  if (ts.isRegularExpressionLiteral(node)) {
    return isProse(node.text);
  }
  if (ts.isNewExpression(node)) {
    const isSet = /^(?:Set|Map|RegExp)$/.test(node.expression.getText());
    const given = (node.arguments ?? []).flatMap((one) =>
      ts.isArrayLiteralExpression(one) ? [...one.elements] : [one],
    );
    return isSet && given.some(isSentence);
  }
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) {
    return false;
  }
  const { expression, name } = node.expression;
  const given = node.arguments;
  return /^(?:has|get)$/.test(name.text)
    ? given.some(isSentence)
    : tests.test(name.text) &&
        (given.some(isSentence) || [expression, ...given].some((one) => holders.test(one.getText())));
}

it('no code decides by a sentence, except by those of other programs', () => {
  expect(findDecisions(files).toSorted()).toEqual(
    [
      // OpenSSL's errors, as NGINX and Apache hand them on.
      "core/src/certificate/verify-error.ts: new Set([ 'unable to get issuer certificate', " +
        `"unable to decrypt certificate's signature", 'unable t`,
      // Adds the name of an issuer to a message that does not have it.
      'core/src/doctor/main.ts: message.includes(issuer)',
      // A code of Node's TLS.
      'core/src/doctor/server-checks.ts: /^(ERR_TLS_)?CERT_|^HOSTNAME_|^INVALID_/.test(why)',
      // Redis' errors.
      'core/src/redis/redis.ts: /^WRONGTYPE\\b/.test(String(Object(error).message))',
      'core/src/redis/redis.ts: /no such key/i',
      "core/src/shared/store-error.ts: /^NOPERM .*\\b(no permissions to run the '[\\w|]{1,40}' command)/",
      'core/src/shared/store-error.ts: missingRight.exec(message)',
    ].toSorted(),
  );
});

describe('the rule finds', () => {
  it('a sentence of another file', () => {
    const user = { path: 'b.ts', text: "import { fault } from './a.js'; text.endsWith(fault);" };
    expect(findDecisions([{ path: 'a.ts', text: "export const fault = 'has expired';" }, user])).toEqual([
      'b.ts: text.endsWith(fault)',
    ]);
  });

  it.each([
    "text === 'the list has expired'",
    "'the list has expired' !== text",
    "switch (text) { case 'the list has expired': }",
    "text.endsWith('has expired')",
    "text.startsWith('the list ' + 'has expired')",
    'text.includes(`has expired`)',
    "new Set(['has expired']).has(text)",
    "new Map([[0, 1]]).get('has expired')",
    '/has expired|other/.test(text)',
    "const fault = 'has expired'; text.endsWith(fault)",
    "new RegExp('has expired')",
    '/EXPIRED/.test(detail)',
    '/EXPIRED/.test(refusal.detail)',
    "found.why.includes('crl')",
  ])('%s', (text) => {
    expect(findDecisions([{ path: 'a.ts', text }])).not.toEqual([]);
  });

  it.each(["code === 'list_expired'", "throw new Error('the list has expired')", '/^[a-z ]+$/.test(text)'])(
    'nothing in %s',
    (text) => {
      expect(findDecisions([{ path: 'a.ts', text }])).toEqual([]);
    },
  );
});
