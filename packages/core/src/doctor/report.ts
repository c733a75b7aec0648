import type { Arrival } from './arrival.js';
import type { Finding } from './finding.js';

const marks = { ok: 'ok     ', warning: 'WARNING', problem: 'PROBLEM' } as const;

/** Characters that move the cursor of a terminal, or change the order of a text. */
const controls = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Returns a text of another party without line ends and other control characters: each is shown by
 * its number.
 */
export function onOneLine(text: string): string {
  return text.replaceAll(controls, escaped);
}

/**
 * Returns what is written to a terminal: line ends stay, other control characters are shown by
 * their numbers. Keeps JSON as it is.
 */
export function printable(text: string): string {
  return text.replaceAll(controls, (character) => (character === '\n' ? character : escaped(character)));
}

/** As JSON writes it: by UTF-16 code units. */
function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, i) => character.charCodeAt(i))
    .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    .join('');
}

/** A finding for people. */
export function formatFinding({ status, code, message, fix }: Finding): string {
  const line = `${marks[status]}  ${onOneLine(`${code}: ${message}`)}`;
  return fix === undefined ? line : `${line}\n         -> ${onOneLine(fix)}`;
}

/** What arrived, for people; a header is shown by its beginning. */
export function formatArrival({ peer, tls, headers, thumbprint, findings }: Arrival): string {
  const lines = Object.entries(headers).flatMap(([name, values]) =>
    values.map((value) => {
      const shown = value.length > 60 ? `${value.slice(0, 60)}... (${value.length} characters)` : value;
      return `  ${onOneLine(`${name}: ${shown}`)}`;
    }),
  );
  return [
    `from ${peer}, ` +
      `${tls ? 'TLS' : 'plain HTTP'}${thumbprint === undefined ? '' : `, x5t#S256 ${thumbprint}`}`,
    ...(lines.length === 0 ? ['  no header that is about certificates'] : lines),
    ...findings.map(formatFinding),
  ].join('\n');
}

/** Whether a script should stop. */
export function hasProblem(findings: readonly Finding[]): boolean {
  return findings.some(({ status }) => status === 'problem');
}
