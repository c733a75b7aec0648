// The cached path behind a proxy, in either framework: every token is known, every certificate was seen before.
import { closeComparison } from './close-comparison.js';
import { takeTurns } from './rounds.js';
import { type Api, headersFromNginx, loaded, setStage, WARM_UP } from './stage.js';

interface CachedPath {
  readonly scenario: string;
  readonly framework: 'Express' | 'Koa';
  readonly bare: string;
  readonly ours: string;
  /** What anyone would use instead, and how many times as fast we want to be. */
  readonly others: Readonly<
    Record<string, { readonly credentials: 'opaqueTokens' | 'jwts'; readonly goal: number }>
  >;
}

/** The least middleware that does the job. No product can go below it. */
export const floor = 'the floor';

/** The floor that also does what the documents promise of every request. What is above it can be saved. */
export const floorWithDuties = 'the floor with the duties';

const CONNECTIONS = 32;
// Many short turns: what else the machine does changes from second to second, and hits neighbours in time alike.
const SECONDS = 1;

export async function runCachedPath({ scenario, framework, bare, ours, others }: CachedPath): Promise<void> {
  const stage = await setStage(scenario);
  const again = `${bare} again`;
  const names = [bare, floor, floorWithDuties, ours, ...Object.keys(others), again];
  try {
    const apis = new Map<string, () => Api>(
      await Promise.all(names.map(async (name) => [name, await stage.start(framework, name)] as const)),
    );
    const measure = (name: string) => {
      const { port, pid } = (apis.get(name) as () => Api)();
      const credentials = others[name]?.credentials ?? 'opaqueTokens';
      return loaded({ port, pid }, stage.plain, {
        url: `http://127.0.0.1:${port}/accounts`,
        headers: headersFromNginx(stage.cast.clients, (client) => client[credentials]),
        connections: CONNECTIONS,
        seconds: SECONDS,
      });
    };
    const samples = await takeTurns(
      scenario,
      Object.fromEntries(names.map((name) => [name, () => measure(name)])),
      { rounds: 21, warmUp: WARM_UP },
    );
    closeComparison({
      scenario,
      names,
      samples,
      ratios: [
        [ours, floor, { max: 1.1 }],
        [ours, floorWithDuties, { max: 1.1 }],
        ...Object.entries(others).map(([name, { goal }]) => [name, ours, { min: goal }] as const),
      ],
      same: [again, bare],
    });
  } finally {
    await stage.stop();
  }
}
