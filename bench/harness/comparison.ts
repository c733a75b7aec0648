// Servers under one kind of load, compared by the processor time of a request.
import { closeComparison } from './close-comparison.js';
import type { Load } from './load.js';
import type { Goal } from './record.js';
import { takeTurns } from './rounds.js';
import { type Api, loaded, type Stage, setStage, WARM_UP } from './stage.js';

interface Comparison {
  readonly scenario: string;
  readonly framework: 'Express' | 'Koa';
  /** The first takes part twice, which shows the noise. */
  readonly contestants: readonly [string, ...string[]];
  readonly more?: (stage: Stage) => Parameters<Stage['start']>[2];
  readonly load: (stage: Stage, contestant: string) => Omit<Load, 'url' | 'seconds'>;
  /** One contestant over another. */
  readonly ratios: readonly (readonly [of: string, over: string, goal: Goal])[];
}

/** Many short turns: what else the machine does hits neighbours in time alike. */
const SECONDS = 0.5;

export async function runComparison(comparison: Comparison): Promise<void> {
  const { scenario, framework, contestants, ratios, load } = comparison;
  const stage = await setStage(scenario);
  const [first] = contestants;
  const again = `${first} again`;
  const names = [...contestants, again];
  try {
    const more = comparison.more?.(stage);
    const apis = new Map<string, () => Api>();
    for (const name of names) {
      apis.set(name, await stage.start(framework, name, more));
    }
    const measure = (name: string) => {
      const api = (apis.get(name) as () => Api)();
      const url = `${more?.tls === undefined ? 'http' : 'https'}://127.0.0.1:${api.port}/accounts`;
      return loaded(api, stage.versatile, { ...load(stage, name), url, seconds: SECONDS });
    };
    const samples = await takeTurns(
      scenario,
      Object.fromEntries(names.map((name) => [name, () => measure(name)])),
      { rounds: 21, warmUp: WARM_UP },
    );
    closeComparison({ scenario, names, samples, ratios, same: [again, first] });
  } finally {
    await stage.stop();
  }
}
