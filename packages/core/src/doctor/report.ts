import type { Arrival } from './arrival.js';
import type { Finding } from './finding.js';

const marks = { ok: 'ok     ', warning: 'WARNING', problem: 'PROBLEM' } as const;

/** A finding for people. */
export function formatFindings({ status, code, message, fix }: Finding): string {
  const line = `${marks[status]}  ${code}: ${message}`;
  return fix === undefined ? line : `${line}\n         -> ${fix}`;
}

/** What arrived, for people; a header is shown by its beginning. */
export function formatArrival({ peer, tls, headers, thumbprint, findings }: Arrival): string {
  const lines = Object.entries(headers).flatMap(([name, values]) =>
    values.map(
      (value) =>
        `  ${name}: ${value.length > 60 ? `${value.slice(0, 60)}... (${value.length} characters)` : value}`,
    ),
  );
  return [
    `from ${peer}, ${tls ? 'TLS' : 'plain HTTP'}${thumbprint === undefined ? '' : `, x5t#S256 ${thumbprint}`}`,
    ...(lines.length === 0 ? ['  no header that is about certificates'] : lines),
    ...findings.map(formatFindings),
  ].join('\n');
}

/** Whether a script should stop. */
export function hasProblem(findings: readonly Finding[]): boolean {
  return findings.some(({ status }) => status === 'problem');
}
