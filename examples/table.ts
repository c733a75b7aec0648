/** The outcome of one scene, for each server that it called; `undefined` for the other servers. */
export interface Outcome<Asked extends string = string> {
  readonly title: string;
  readonly expected: Readonly<Record<Asked, Result | undefined>>;
  readonly results: Readonly<Record<Asked, Result | undefined>>;
  /** The error of the last server that refused the request, or what an API says of the client. */
  readonly told: string;
}

/** A status, or `no TLS` if the TLS handshake failed. */
export type Result = number | 'no TLS';

const colour = process.stdout.isTTY
  ? { good: '\x1b[32m', bad: '\x1b[31m', dim: '\x1b[2m', end: '\x1b[0m' }
  : { good: '', bad: '', dim: '', end: '' };

/** Prints the answer to each request, and returns whether each answer was the expected one. */
export function printTable(outcomes: readonly Outcome[]): boolean {
  const apis = Object.keys(outcomes[0]?.results ?? {});
  const width = Math.max(...outcomes.map(({ title }) => title.length));
  const header = [
    '',
    'request'.padEnd(width),
    ...apis.map((name) => name.padEnd(11)),
    'what the client received',
  ];
  console.log(`\n${header.join('  ')}`);
  console.log(`${colour.dim}${'-'.repeat(width + 80)}${colour.end}`);
  const unexpected = outcomes.filter((outcome) => !printLine(outcome, width));
  console.log(
    unexpected.length === 0
      ? `\n${colour.good}All ${outcomes.length} answers are as expected.${colour.end}\n`
      : `\n${colour.bad}${unexpected.length} of ${outcomes.length} answers are not as expected.${colour.end}\n`,
  );
  return unexpected.length === 0;
}

function printLine({ title, expected, results, told }: Outcome, width: number): boolean {
  const apis = Object.keys(results) as (keyof typeof results)[];
  const asExpected = apis.every((name) => results[name] === expected[name]);
  const shown = apis.map((name) => shownAs(results[name]).padEnd(11));
  const mark = asExpected
    ? `${colour.good}✓${colour.end}`
    : `${colour.bad}✗ expected ${apis.map((name) => expected[name] ?? '-').join(' ')}:${colour.end}`;
  console.log([mark, title.padEnd(width), ...shown, `${colour.dim}${told}${colour.end}`].join('  '));
  return asExpected;
}

function shownAs(result: Result | undefined): string {
  if (typeof result !== 'number') {
    return result ?? '-';
  }
  return `${result}${result < 400 ? '' : ' refused'}`;
}
