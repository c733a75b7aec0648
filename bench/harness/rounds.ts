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
 * Returns the contestants in the order of a round. In twice as many rounds as there are contestants, each comes equally
 * often directly after each other one, and equally often at each place: what ran before leaves the caches of the
 * processor and the authorization server in another state. A Williams design, with each of its orders reversed too.
 */
export function orderOf(names: readonly string[], round: number): string[] {
  const { length } = names;
  const orders = 2 * length;
  const turn = ((round % orders) + orders) % orders;
  const order = names.map((_, place) => {
    const step = place % 2 === 1 ? (place + 1) / 2 : length - place / 2;
    return names[(step + turn) % length] as string;
  });
  return turn < length ? order : order.toReversed();
}

/**
 * Lets the contestants take turns, in another order in each round. The rounds before the first one that counts warm up.
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
    for (const name of orderOf(names, round)) {
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
