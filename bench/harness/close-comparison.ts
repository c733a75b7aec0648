import { closeScenario, noiseOf } from './close.js';
import { type Goal, timeRatioOf } from './record.js';
import type { Samples } from './rounds.js';
import { type ApiFigure, apiSummary } from './stage.js';

/** What a comparison of servers by the processor time of a request has measured. */
interface MeasuredComparison {
  readonly scenario: string;
  readonly names: readonly string[];
  readonly samples: Samples<ApiFigure>;
  /** One contestant over another. */
  readonly ratios: readonly (readonly [of: string, over: string, goal: Goal])[];
  /** Two contestants of the same code, which show the noise. */
  readonly same: readonly [again: string, first: string];
}

/** Writes the record of a comparison, and shows it. */
export function closeComparison({ scenario, names, samples, ratios, same }: MeasuredComparison): void {
  const time = (name: string) => samples.of(name, 'microseconds');
  const [again, first] = same;
  closeScenario(
    {
      scenario,
      unit: 'microseconds of processor a request',
      rounds: samples.rounds,
      contestants: Object.fromEntries(names.map((name) => [name, apiSummary(samples, name)])),
      ratios: Object.fromEntries(
        ratios.map(([of, over, goal]) => [`${of} / ${over}`, timeRatioOf(time(of), time(over), goal)]),
      ),
    },
    { [`${again} / ${first}`]: noiseOf(time(again), time(first)) },
  );
}
