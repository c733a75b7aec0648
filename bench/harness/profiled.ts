// Puts into a scenario's record where the time of each of its servers went: `profiled.ts <folder of profiles> <scenario>`.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allRecords } from './close.js';
import { results } from './settings.js';

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

type Node = Profile['nodes'][number];

/** The first that fits names the part. Frames without a place of their own belong to who called them, but for these. */
const parts: readonly (readonly [part: string, fits: RegExp])[] = [
  ['garbage collection', /^\(garbage collector\) /],
  ['writing to the socket', /^(writev|writeUtf8String|writeLatin1String|writeBuffer|shutdown) $/],
  ['our packages', /\/packages\/[\w-]+\/(dist|src)\//],
  ['our packages', /\/lru-cache\//],
  ['jose', /\/jose\//],
  ['express-oauth2-jwt-bearer', /\/(express-oauth2-jwt-bearer|access-token-jwt|oauth2-bearer)\//],
  ['hand-written code', /\/bench\/contestants\//],
  ['framework', /\/node_modules\//],
  ["hashes, signatures, certificates of Node's crypto", / node:internal\/crypto\//],
  ["Node's HTTP, TLS, streams and events", / node:/],
];
const rest = 'other';

/** Shares of the time that the process was busy serving, by part. */
function sharesOf({ nodes, samples, timeDeltas }: Profile): Record<string, number> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children }) => (children ?? []).map((child) => [child, id])));
  const ancestry = (id: number): Node[] => {
    const found: Node[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      found.push(byId.get(at) as Node);
    }
    return found;
  };
  const times = new Map<string, number>();
  const cached = new Map<number, string | undefined>();
  samples.forEach((id, i) => {
    if (!cached.has(id)) {
      cached.set(id, partOf(ancestry(id)));
    }
    const part = cached.get(id);
    if (part !== undefined) {
      times.set(part, (times.get(part) ?? 0) + (timeDeltas[i] ?? 0));
    }
  });
  const all = [...times.values()].reduce((sum, time) => sum + time, 0);
  return Object.fromEntries(
    [...times]
      .toSorted(([, a], [, b]) => b - a)
      .map(([part, time]) => [part, Number((time / all).toFixed(3))]),
  );
}

/** Undefined for time that is not a request's: the start, the wait for the next one. */
function partOf(ancestry: readonly Node[]): string | undefined {
  const names = ancestry.map(({ callFrame: { functionName, url } }) => `${functionName} ${url}`);
  const isCollector = names[0]?.startsWith('(garbage collector)') === true;
  if (
    !isCollector &&
    !names.some((name) => /^(parserOn|onStreamRead|processTicksAndRejections|onReadWrap)/.test(name))
  ) {
    return undefined;
  }
  for (const name of names) {
    const part = parts.find(([, fits]) => fits.test(name))?.[0];
    if (part !== undefined) {
      return part;
    }
  }
  return rest;
}

const [, , folder = '', scenario = ''] = process.argv;
const record = allRecords().find((each) => each.scenario === scenario);
if (record === undefined) {
  throw new Error(`there is no record of ${scenario} to put a profile into; run it without --profile first`);
}
const profile = Object.fromEntries(
  Object.keys(record.contestants).flatMap((contestant) => {
    const own = join(folder, `${scenario} ${contestant}`.replaceAll(/\W+/g, '-'));
    const files = existing(own).map((file) => JSON.parse(readFileSync(join(own, file), 'utf8')) as Profile);
    // Of its threads the one with most to do served.
    const [busiest] = files.toSorted((a, b) => b.nodes.length - a.nodes.length);
    return busiest === undefined ? [] : [[contestant, sharesOf(busiest)]];
  }),
);
const whole = { ...record, profile };
writeFileSync(new URL(`${scenario}.json`, results), `${JSON.stringify(whole, null, 2)}\n`);

function existing(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
