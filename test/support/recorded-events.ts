import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, beforeEach } from 'vitest';

/** What is published on a channel during each test of the file that calls this; empty again for the next. */
export function recordedEvents<Event>(channel: string): readonly Event[] {
  const events: Event[] = [];
  const record = (event: unknown): void => {
    events.push(event as Event);
  };
  beforeEach(() => subscribe(channel, record));
  afterEach(() => {
    unsubscribe(channel, record);
    events.length = 0;
  });
  return events;
}
