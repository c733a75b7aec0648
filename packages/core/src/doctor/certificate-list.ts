import type { IncomingMessage } from 'node:http';
import { isReplaced } from '../certificate/seen-certificates.js';
import { TellableError } from '../errors.js';
import { BodyBuffer } from '../shared/body-buffer.js';
import { redactUrl } from '../shared/shown-url.js';
import { type Exchange, exchange } from './exchange.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { readContent } from './input.js';
import { onOneLine } from './report.js';

const DAY = 86_400_000;

/** Bytes of an answer that are read, at most. */
const MAX_BYTES = 64 * 1_024 * 1_024;

/** Clients that a finding names, at most. */
const MAX_NAMED = 10;

/** A row of `clientCertificates()` of a resource server, as JSON has it. */
interface ListedClient {
  readonly issuer: string;
  /** A text for tokens that name no client, too. */
  readonly client: string;
  readonly thumbprint: string;
  /** Milliseconds since the epoch; Infinity if it is unknown. */
  readonly notAfter: number;
  /** Milliseconds since the epoch. */
  readonly firstSeen: number;
  /** Milliseconds since the epoch. */
  readonly lastSeen: number;
  readonly isReplaced: boolean;
}

/** The clients, those whose certificate expires first at the front, and what is wrong with them. */
export interface ClientReport {
  readonly table: string;
  readonly findings: readonly Finding[];
}

/** Fetches the list of client certificates of a running process of an API. Throws `TellableError`. */
export async function fetchClientCertificates(from: Exchange): Promise<string> {
  const shown = redactUrl(from.url);
  const reply = await exchange(from, readReply);
  if (typeof reply === 'string') {
    throw new TellableError(`${shown} gives no answer: ${reply}`);
  }
  if (reply.status !== 200) {
    throw new TellableError(
      `${shown}: expected the status 200, got ${reply.status}; name the token of an operator by --token, ` +
        'and its certificate by --cert and --key',
    );
  }
  if (reply.body === undefined) {
    throw new TellableError(`${shown}: expected at most ${MAX_BYTES} bytes, got more, or got tiny chunks`);
  }
  return reply.body;
}

/** Reads the list in a file. Throws `TellableError`. */
export async function readClients(file: string): Promise<string> {
  return (await readContent('clients', file)).toString();
}

/**
 * Reports the certificates that have expired, or expire within `days`, by the lists of one process or
 * of several. Throws `TellableError` for a text that is not the JSON of `clientCertificates()`.
 */
export function reportClients(texts: readonly string[], days: number, now: number): ClientReport {
  const clients = merge(listsIn(texts)).toSorted((a, b) => compare(a.notAfter, b.notAfter));
  const used = clients.filter(({ isReplaced }) => !isReplaced);
  const expired = used.filter(({ notAfter }) => notAfter < now);
  const expiring = used.filter(({ notAfter }) => notAfter >= now && notAfter - now <= days * DAY);
  const unknown = used.filter(({ notAfter }) => notAfter === Number.POSITIVE_INFINITY);
  const within = `within ${days} ${days === 1 ? 'day' : 'days'}`;
  const fix = 'have the client renew its certificate, and get a new token that is bound to it';
  const findings = [
    ...findingAbout(expired, (who) =>
      problem('client_certificate_expired', `the certificate has expired of ${who}`, fix),
    ),
    ...findingAbout(expiring, (who) =>
      problem('client_certificate_expires', `the certificate expires ${within} of ${who}`, fix),
    ),
    ...findingAbout(unknown, (who) =>
      warning(
        'client_expiry_unknown',
        `nothing says when the certificate expires of ${who}`,
        'choose a preset of the proxy that hands on the whole certificate, not its hash alone',
      ),
    ),
  ];
  return {
    table: tableOf(clients, now),
    findings:
      expired.length + expiring.length > 0
        ? findings
        : [ok('client_certificates', `of ${used.length} certificates none expires ${within}`), ...findings],
  };
}

async function readReply(res: IncomingMessage): Promise<{ status: number; body: string | undefined }> {
  const body = new BodyBuffer(MAX_BYTES);
  for await (const chunk of res as AsyncIterable<Buffer>) {
    if (body.add(chunk) !== undefined) {
      res.destroy();
      return { status: res.statusCode ?? 0, body: undefined };
    }
  }
  return { status: res.statusCode ?? 0, body: body.toBuffer().toString() };
}

/**
 * One row for each client and certificate. A process knows only its own requests. So only the lists of all
 * processes together show whether a client has replaced a certificate.
 */
function merge(lists: readonly (readonly ListedClient[])[]): readonly ListedClient[] {
  const [first = [], ...others] = lists;
  if (others.length === 0) {
    return first;
  }
  const clients = new Map<string, Map<string, ListedClient>>();
  for (const row of lists.flat()) {
    const key = JSON.stringify([row.issuer, row.client]);
    const certificates = clients.get(key) ?? new Map<string, ListedClient>();
    clients.set(key, certificates);
    const known = certificates.get(row.thumbprint);
    certificates.set(row.thumbprint, known === undefined ? row : seenByBoth(known, row));
  }
  return [...clients.values()].flatMap((certificates) => {
    const uses = [...certificates.values()];
    return uses.map((use) => ({ ...use, isReplaced: isReplaced(use, uses) }));
  });
}

function seenByBoth(one: ListedClient, other: ListedClient): ListedClient {
  return {
    ...one,
    // A process that saw only the hash of the certificate does not know when it expires.
    notAfter: Math.min(one.notAfter, other.notAfter),
    firstSeen: Math.min(one.firstSeen, other.firstSeen),
    lastSeen: Math.max(one.lastSeen, other.lastSeen),
  };
}

function listsIn(texts: readonly string[]): ListedClient[][] {
  return texts.map((text, index) => listIn(text, texts.length === 1 ? '' : `list ${index + 1}: `));
}

/** Reads a list. Errors show nothing of a text that is no such list. */
function listIn(text: string, prefix: string): ListedClient[] {
  const expected = `${prefix}expected the JSON of resourceServer.clientCertificates()`;
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    // What is no JSON is no list either.
  }
  if (!Array.isArray(list)) {
    throw new TellableError(`${expected}, a list, got something else`);
  }
  return list.map((row: unknown, index) => {
    const read = readRow(row);
    if (read === undefined) {
      throw new TellableError(`${expected}, got another row at the place ${index}`);
    }
    return read;
  });
}

function readRow(row: unknown): ListedClient | undefined {
  if (typeof row !== 'object' || row === null) {
    return undefined;
  }
  const { issuer, clientId, thumbprint, notAfter, firstSeen, lastSeen, isReplaced } = row as Record<
    string,
    unknown
  >;
  // JSON has no undefined: the member is missing, or null if another program wrote it.
  const end = timeOf(notAfter ?? undefined, Number.POSITIVE_INFINITY);
  const first = timeOf(firstSeen, Number.NaN);
  const last = timeOf(lastSeen, Number.NaN);
  const isRow =
    typeof issuer === 'string' &&
    ['string', 'undefined'].includes(typeof (clientId ?? undefined)) &&
    typeof thumbprint === 'string' &&
    ![end, first, last].some(Number.isNaN);
  return isRow
    ? {
        issuer,
        client: typeof clientId === 'string' ? clientId : '(no client_id)',
        thumbprint,
        notAfter: end,
        firstSeen: first,
        lastSeen: last,
        isReplaced: isReplaced === true,
      }
    : undefined;
}

/** NaN for what is no time. */
function timeOf(value: unknown, whenMissing: number): number {
  return value === undefined ? whenMissing : typeof value === 'string' ? Date.parse(value) : Number.NaN;
}

/** Infinities are equal. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

function findingAbout(clients: readonly ListedClient[], make: (who: string) => Finding): Finding[] {
  if (clients.length === 0) {
    return [];
  }
  const names = clients.slice(0, MAX_NAMED).map(({ client }) => client);
  const others = clients.length - names.length;
  return [make(`${names.join(', ')}${others > 0 ? ` and ${others} more` : ''}`)];
}

function tableOf(clients: readonly ListedClient[], now: number): string {
  const head = ['days left', 'expires', 'client', 'issuer', 'x5t#S256', 'last seen', ''];
  const rows = clients.map(({ client, issuer, thumbprint, notAfter, lastSeen, isReplaced }) => {
    const isKnown = Number.isFinite(notAfter);
    return [
      isKnown ? String(Math.floor((notAfter - now) / DAY)) : 'unknown',
      isKnown ? dayOf(notAfter) : 'unknown',
      client,
      issuer,
      thumbprint,
      dayOf(lastSeen),
      isReplaced ? 'replaced' : '',
    ].map(onOneLine);
  });
  const widths = head.map((title, column) =>
    rows.reduce((widest, row) => Math.max(widest, row[column]?.length ?? 0), title.length),
  );
  return [head, ...rows]
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
