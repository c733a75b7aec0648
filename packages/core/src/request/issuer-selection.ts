import { RequestRefused } from '../errors.js';
import { onlyArgument, refuseFurtherArguments } from '../shared/call-arguments.js';
import { createMismatch, described } from '../shared/option-errors.js';
import {
  checkOption,
  headerName,
  isPlainObject,
  issuerUrl,
  type OptionRule,
} from '../shared/option-rules.js';
import { headerValues } from './header-lines.js';
import type { NodeRequest } from './node-request.js';
import { requestTargetOf } from './request-target.js';

/**
 * Names the issuer that a request's token is meant for; `undefined` when it is none of them. Throws
 * `RequestRefused` for a request that can be read in more than one way.
 */
export interface IssuerSelector {
  (req: NodeRequest): string | undefined;
  /** Every issuer that it may name, to be checked at start-up. */
  readonly issuers?: readonly string[];
}

/** A selector, or `in-order`: the issuers are asked one after the other. */
export type IssuerSelection = IssuerSelector | 'in-order';

export const issuerSelection: OptionRule<IssuerSelection> = {
  accepted: "issuerByHeader(), issuerByHost(), issuerByPath(), a function, or 'in-order'",
  read: (given) =>
    given === 'in-order' || typeof given === 'function' ? (given as IssuerSelection) : undefined,
};

const issuersByName: OptionRule<readonly (readonly [string, string])[]> = {
  accepted: 'an object from names to issuers, https URLs',
  read: (given) => {
    const entries = isPlainObject(given) ? Object.entries(given) : [];
    return entries.length > 0 &&
      entries.every(([name, issuer]) => name !== '' && issuerUrl.read(issuer) !== undefined)
      ? entries.map(([name, issuer]) => [name, String(issuer)] as const)
      : undefined;
  },
};

/**
 * Selects the issuer by the value of a header, in any case. The sender of the header decides which
 * server sees the token: let a proxy set it.
 *
 * @example
 * const selectIssuer = issuerByHeader('x-tenant', { acme: 'https://acme.example.com' });
 * mtlsBound({ audience, issuers, selectIssuer })
 */
export function issuerByHeader(name: string, issuers: Readonly<Record<string, string>>): IssuerSelector;
export function issuerByHeader(
  ...args: [name: string, issuers: Readonly<Record<string, string>>]
): IssuerSelector {
  refuseFurtherArguments('issuerByHeader()', args, 2, 'the name of a header and one object of issuers');
  const [name, issuers] = args;
  const header = checkOption('issuerByHeader(name)', headerName, name);
  const byValue = byKey('issuerByHeader(issuers)', issuers, headerValue);
  return selector(byValue, (req) => {
    const [value, ...more] = headerValues(req, header);
    if (more.length > 0) {
      throw unclear(`the header ${header} is repeated`);
    }
    return value === undefined ? undefined : byValue.get(value.toLowerCase());
  });
}

/**
 * Selects the issuer by the host that the request names, without its port (RFC 9110 §7.2). A host
 * is refused unless it is written in lower case and without a trailing dot, as routers compare it,
 * and unless `X-Forwarded-Host`, where it is sent, names the same.
 */
export function issuerByHost(issuers: Readonly<Record<string, string>>): IssuerSelector;
export function issuerByHost(...args: [issuers: Readonly<Record<string, string>>]): IssuerSelector {
  const issuers = onlyArgument('issuerByHost()', args, 'one object of issuers');
  const byHost = byKey('issuerByHost(issuers)', issuers, hostName);
  return selector(byHost, (req) => {
    if (!requestTargetOf(req).startsWith('/')) {
      throw unclear('the request target names a host by itself');
    }
    const named = [':authority', 'host', 'x-forwarded-host'].map((name) => headerValues(req, name));
    if (named.some((lines) => lines.length > 1)) {
      throw unclear('the host is named repeatedly');
    }
    const hosts = new Set(named.flat().map(hostOf));
    const [host] = hosts;
    if (host === undefined || hosts.size > 1) {
      throw unclear('the request names no host, several, or one that is malformed');
    }
    return byHost.get(host);
  });
}

/**
 * Selects the issuer by how the path begins, in whole segments; the longest prefix wins. The path
 * is the one that the client sent, also below a mounted router and after a rewrite. A path that
 * routers may read in another way is refused: one that names another issuer when case,
 * percent-encoding or path parameters (`;`) are ignored, that can't be decoded, or that holds dot
 * segments, backslashes or empty segments. A path of more than 2,048 characters is refused if it has
 * other characters than letters, digits and `_-.~!$&'()*+,=:@/`.
 */
export function issuerByPath(issuers: Readonly<Record<string, string>>): IssuerSelector;
export function issuerByPath(...args: [issuers: Readonly<Record<string, string>>]): IssuerSelector {
  const issuers = onlyArgument('issuerByPath()', args, 'one object of issuers');
  const byPath = byKey('issuerByPath(issuers)', issuers, foldedPrefix);
  const prefixes = Object.entries(issuers)
    .map(([prefix, issuer]) => ({
      exact: encodeURI(decodeURI(withSlash(prefix))),
      folded: foldedPrefix(prefix) ?? '',
      issuer,
    }))
    .toSorted((a, b) => b.folded.length - a.folded.length);
  return selector(byPath, (req) => {
    const [path = ''] = requestTargetOf(req).split('?', 1);
    const readings = readingsOf(path);
    if (readings === undefined) {
      throw unclear('the path can be read in more than one way');
    }
    const asSent = prefixes.find(({ exact }) => `${path}/`.startsWith(exact));
    for (const reading of readings) {
      if (asSent !== prefixes.find(({ folded }) => `${reading}/`.startsWith(folded))) {
        throw unclear(
          'the path names one issuer as it is sent, and another when case, encoding and ' +
            'path parameters are ignored',
        );
      }
    }
    return asSent?.issuer;
  });
}

/** What a name is compared by; `undefined` for a name that no request can have. */
type KeyReader = (name: string) => string | undefined;

/** Throws `ConfigurationError` for a name that can never match, and for two that are one. */
function byKey(option: string, given: unknown, read: KeyReader): ReadonlyMap<string, string> {
  const byName = new Map<string, string>();
  for (const [name, issuer] of checkOption(option, issuersByName, given)) {
    const key = read(name);
    if (key === undefined) {
      throw createMismatch(option, 'names that a request can have', described(name));
    }
    if (byName.has(key)) {
      throw createMismatch(option, 'each name once', 'a name twice, in another spelling');
    }
    byName.set(key, issuer);
  }
  return byName;
}

function headerValue(name: string): string | undefined {
  return /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(name) ? name.toLowerCase() : undefined;
}

/** RFC 3986 §3.2.2: a registered name, an IPv4 address, or an IPv6 address in brackets. */
const host = /^(?:\[[\da-f:.]+\]|[a-z\d_-]+(?:\.[a-z\d_-]+)*)$/;

function hostName(name: string): string | undefined {
  const lower = name.toLowerCase();
  return host.test(lower) ? lower : undefined;
}

/** Undefined for what is malformed. RFC 3986 §3.2.3: a port may be empty. */
function hostOf(value: string): string | undefined {
  const name = value.replace(/:\d{0,5}$/, '');
  return host.test(name) ? name : undefined;
}

function withSlash(prefix: string): string {
  return `${prefix.replace(/\/+$/, '')}/`;
}

function foldedPrefix(prefix: string): string | undefined {
  if (!/^\/[^?#]*$/.test(prefix)) {
    return undefined;
  }
  try {
    const readings = readingsOf(encodeURI(decodeURI(prefix.replace(/\/+$/, ''))) || '/');
    const [folded, ...others] = readings ?? [];
    return folded === undefined || others.length > 0 ? undefined : withSlash(folded);
  } catch {
    return undefined;
  }
}

/** RFC 3986 §3.3, without empty segments but the last. */
const pathOfSegments = /^(?:\/(?:[\w\-.~!$&'()*+,;=:@]|%[\da-f]{2})+)*\/?$/i;

/** Characters that all readers of a path take as they are. */
const plainPath = /^[\w\-.~!$&'()*+,=:@/]+$/;

/** Segments of dots and blanks alone, empty segments, backslashes and control characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused.
const unclearPath = /\/\/|[\\\u0000-\u001f\u007f]|\/[.\s]+(?:\/|$)/;

/**
 * Returns what routers and proxies may read in a path, in lower case: the path decoded once or more
 * often, without path parameters and blanks (Tomcat and Spring read `/red;v=1` as `/red`), and up
 * to a decoded `?` or `#`. `undefined` for a path that can't be decoded, or that has dot segments,
 * empty segments, backslashes or control characters in one of these forms: routers and proxies read such
 * paths in different ways.
 */
function readingsOf(path: string): Iterable<string> | undefined {
  const isPlain = plainPath.test(path);
  if (path === '' || (!isPlain && path.length > MAX_LENGTH) || !pathOfSegments.test(path)) {
    return undefined;
  }
  const texts = isPlain ? [path] : decodingsOf(path);
  return texts === undefined || texts.some((text) => unclearPath.test(text))
    ? undefined
    : new Set(texts.map((text) => text.toLowerCase()));
}

/** Characters of a path that is decoded: each of its forms costs time, before any other check. */
const MAX_LENGTH = 2_048;

/** How often a path may be encoded. */
const MAX_ENCODINGS = 3;

/** `undefined` for a path that can't be decoded, or that is encoded too often. */
function decodingsOf(path: string): readonly string[] | undefined {
  const texts: string[] = [];
  let next = [decodeStrictly(path), decodeStrictly(withoutParameters(path))];
  for (let count = 0; next.length > 0; count += 1) {
    for (const text of next) {
      if (text === undefined || count === MAX_ENCODINGS) {
        return undefined;
      }
      const [beforeQuery = ''] = text.split(/[?#]/, 1);
      const bare = [text, beforeQuery].map(withoutParameters);
      texts.push(text, beforeQuery, ...bare, ...bare.map(withoutBlanks));
    }
    next = next.flatMap((text = '') => {
      const again = decodeLeniently(text);
      return again === text ? [] : [again];
    });
  }
  return texts;
}

/** Without blanks around segments, which some file systems and routers leave out. */
function withoutBlanks(path: string): string {
  return path
    .split('/')
    .map((segment) => segment.trim())
    .join('/');
}

function withoutParameters(path: string): string {
  return path.replaceAll(/;[^/]*/g, '');
}

function decodeStrictly(path: string): string | undefined {
  try {
    return foldWidth(decodeURIComponent(path));
  } catch {
    return undefined;
  }
}

/** Decodes what can be decoded. A percent sign that was encoded may stand alone. */
function decodeLeniently(text: string): string {
  const decoded = text.replaceAll(/(?:%[\da-f]{2})+/gi, (bytes) =>
    Buffer.from(bytes.replaceAll('%', ''), 'hex').toString(),
  );
  return foldWidth(decoded);
}

/** Returns the text in the form of Unicode in which a full-width dot or slash is a plain one. */
function foldWidth(text: string): string {
  return text.normalize('NFKC');
}

function unclear(why: string): RequestRefused {
  return new RequestRefused('token_wrong_issuer', { detail: `selectIssuer can name no issuer: ${why}` });
}

function selector(issuers: ReadonlyMap<string, string>, select: (req: NodeRequest) => string | undefined) {
  return Object.assign(select, { issuers: Object.freeze([...issuers.values()]) });
}
