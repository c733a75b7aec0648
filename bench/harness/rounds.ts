import { progress, progressEnds } from './progress.js';
import { isQuick, leastRounds } from './settings.js';

/** What one contestant achieved in one round, by the name of the figure. */
export type Measured<Figure extends string> = Readonly<Record<Figure, number>>;

/** Every figure of every contestant, round by round. */
export interface Samples<Figure extends string> {
  readonly rounds: number;
  of(contestant: string, figure: Figure): readonly number[];
}

/**
 * Lets the contestants take turns, and turns at going first. The rounds before the first one that counts warm up.
 */
export async function takeTurns<Figure extends string>(
  scenario: string,
  contestants: Readonly<Record<string, () => Measured<Figure> | Promise<Measured<Figure>>>>,
  wanted: { readonly rounds: number; readonly warmUp?: number },
): Promise<Samples<Figure>> {
  const rounds = isQuick ? 1 : Math.max(wanted.rounds, leastRounds);
  const warmUp = isQuick ? 0 : (wanted.warmUp ?? 1);
  const names = Object.keys(contestants);
  const samples = new Map<string, Measured<Figure>[]>(names.map((name) => [name, []]));
  for (let round = -warmUp; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const measured = await contestants[name]?.();
      if (round >= 0 && measured !== undefined) {
        samples.get(name)?.push(measured);
      }
      progress(
        `${scenario}, ${round < 0 ? 'warm-up' : `round ${round + 1} of ${rounds}`}, ${name}: ${said(measured)}`,
      );
    }
  }
  progressEnds();
  return {
    rounds,
    of: (contestant, figure) => {
      const found = samples.get(contestant);
      if (found === undefined) {
        throw new Error(`${contestant} took no part in ${scenario}`);
      }
      return found.map((measured) => measured[figure]);
    },
  };
}

function said(measured: Measured<string> | undefined): string {
  return Object.entries(measured ?? {})
    .map(([figure, value]) => `${figure} ${value.toPrecision(4)}`)
    .join(', ');
}
