import { type BenchRecord, type Goal, isMet } from './record.js';

/** The record as a page shows it. */
export function tablesOf({
  unit,
  machine,
  commit,
  rounds,
  skipped,
  contestants,
  ratios,
  profile,
}: BenchRecord): string {
  const extras = [...new Set(Object.values(contestants).flatMap((each) => Object.keys(each)))].filter(
    (name) => !['median', 'min', 'max'].includes(name),
  );
  const figures = Object.entries(contestants).map(([name, { median, min, max, ...more }]) => [
    name,
    shown(median),
    `${shown(min)} to ${shown(max)}`,
    ...extras.map((extra) => shown(more[extra])),
  ]);
  const isByQuartiles = Object.values(ratios).some(({ lowerQuartiles }) => lowerQuartiles !== undefined);
  const compared = Object.entries(ratios).map(([name, ratio]) => [
    name,
    ...(isByQuartiles ? [`**${shown(ratio.lowerQuartiles ?? ratio.median)}**`] : []),
    isByQuartiles ? shown(ratio.median) : `**${shown(ratio.median)}**`,
    `${shown(ratio.min)} to ${shown(ratio.max)}`,
    goalShown(ratio.goal),
    isMet(ratio) ? 'met' : '**missed**',
  ]);
  return [
    table([unit, 'median', 'range', ...extras.map(inWords)], figures),
    table(
      ['ratio', ...(isByQuartiles ? ['of lower quartiles'] : []), 'median', 'range', 'goal', ''],
      compared,
    ),
    ...(profile === undefined ? [] : [profileTable(profile)]),
    ...Object.entries(skipped ?? {}).map(([name, why]) => `Without ${name}: ${why}.`),
    `${rounds} rounds at commit ${commit}, on ${machine}.`,
  ].join('\n\n');
}

function profileTable(profile: NonNullable<BenchRecord['profile']>): string {
  const names = Object.keys(profile);
  const parts = [...new Set(Object.values(profile).flatMap((shares) => Object.keys(shares)))];
  const percent = (share: number | undefined): string =>
    share === undefined ? '' : `${shown(share * 100)} %`;
  return table(
    ['where the time goes', ...names],
    parts.map((part) => [part, ...names.map((name) => percent(profile[name]?.[part]))]),
  );
}

const marked = /(<!-- record: ([\w-]+) -->)[\s\S]*?(<!-- end of record -->)/g;

/** The page with the figure and the tables of each record that it marks a place for. */
export function synced(page: string, records: readonly BenchRecord[]): string {
  return page.replace(marked, (block, start: string, scenario: string, end: string) => {
    const record = records.find((each) => each.scenario === scenario);
    return record === undefined
      ? block
      : `${start}\n\n![Figures of ${scenario}](results/${scenario}.svg)\n\n${tablesOf(record)}\n\n${end}`;
  });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.map(line)].join(
    '\n',
  );
}

function goalShown({ min, max }: Goal): string {
  return [min === undefined ? [] : `at least ${shown(min)}`, max === undefined ? [] : `at most ${shown(max)}`]
    .flat()
    .join(', ');
}

function shown(value: unknown): string {
  return typeof value === 'number'
    ? value.toLocaleString('en', { maximumSignificantDigits: 4 })
    : String(value ?? '');
}

function inWords(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
