import type { ReportProblem } from '../observe/events.js';
import { RecentMap } from '../shared/recent-map.js';

/** Messages that are remembered, and for how many milliseconds they are not repeated. */
const MAX_MESSAGES = 1_000;
const NOT_REPEATED_FOR = 60_000;

/** Leaves out a message that was reported within the last minute: each certificate may cause it. */
export function skipRepeatedReports(publish: ReportProblem): ReportProblem {
  const reportedAt = new RecentMap<string, number>(MAX_MESSAGES);
  return (code, message) => {
    const now = performance.now();
    if (now - (reportedAt.get(message) ?? Number.NEGATIVE_INFINITY) > NOT_REPEATED_FOR) {
      reportedAt.set(message, now);
      publish(code, message);
    }
  };
}
