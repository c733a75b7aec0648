import type { Cast } from './cast.js';
import { nginxHeader } from './cast.js';
import { type Child, startChild } from './child.js';
import { isQuick } from './settings.js';

/** `authorize()` and its floor in a process of its own, with so many tokens known. */
export interface Clock {
  /** Heap, in bytes. */
  readonly bytesPerToken: number;
  /** Nanoseconds a call. */
  time(name: 'authorize' | 'floor'): Promise<number>;
  /** Starts the API behind Express, and returns the port. */
  serve(): Promise<number>;
  readonly pid: number;
  stop(): Promise<void>;
}

interface ClockSetup {
  readonly scenario: string;
  readonly tokens: number;
  readonly certificates: readonly (readonly [header: string, thumbprint: string])[];
}

export async function startClock({ scenario, ...setup }: ClockSetup): Promise<Clock> {
  const child: Child = await startChild(new URL('../servers/authorize.ts', import.meta.url), {
    core: 'server',
    nodeOptions: ['--expose-gc', '--max-old-space-size=6144'],
    profile: `${scenario} ${setup.tokens}`,
  });
  const bytesPerToken = await child.ask<number>('prepare', setup);
  return {
    bytesPerToken,
    time: (name) => child.ask<number>('time', { name, milliseconds: isQuick ? 1 : 250 }),
    serve: () => child.ask<number>('serve'),
    pid: child.pid,
    stop: () => child.stop(),
  };
}

export function certificatesOf({ clients }: Cast): ClockSetup['certificates'] {
  return clients.map(({ identity }) => [nginxHeader(identity), identity.thumbprint]);
}
