import { checked, headerName, isHttpsUrl, type OptionRule } from '../option-rules.js';
import type { NodeRequest } from './bearer-token.js';

/** Names the issuer that a request's token is meant for; undefined when it is none of them. */
export interface IssuerSelector {
  (req: NodeRequest): string | undefined;
  /** Every issuer that it may name, to be checked at start-up. */
  readonly issuers?: readonly string[];
}

/** A selector, or to ask one issuer after the other. */
export type IssuerSelection = IssuerSelector | 'in-order';

export const issuerSelection: OptionRule<IssuerSelection> = {
  accepted: "issuerByHeader(), issuerByHost(), issuerByPath(), a function, or 'in-order'",
  read: (given) =>
    given === 'in-order' || typeof given === 'function' ? (given as IssuerSelection) : undefined,
};

const issuersByName: OptionRule<ReadonlyMap<string, string>> = {
  accepted: 'an object from names to issuers, https URLs',
  read: (given) => {
    const entries = typeof given === 'object' && given !== null ? Object.entries(given) : [];
    return entries.length > 0 && entries.every(([name, issuer]) => name !== '' && isHttpsUrl(issuer))
      ? new Map(entries.map(([name, issuer]) => [name.toLowerCase(), issuer]))
      : undefined;
  },
};

/**
 * By the value of a header, in any case. Whoever sets the header decides who sees the token: let a proxy set it.
 *
 * @example
 * mtlsBound({ audience, issuers, selectIssuer: issuerByHeader('x-tenant', { acme: 'https://acme.example.com' }) })
 */
export function issuerByHeader(name: string, issuers: Readonly<Record<string, string>>): IssuerSelector {
  const header = checked('issuerByHeader(name)', headerName, name);
  const byValue = checked('issuerByHeader(issuers)', issuersByName, issuers);
  return selector(byValue, (req) => byValue.get(String(req.headers[header] ?? '').toLowerCase()));
}

/** By the host that the request names, without its port (RFC 9110 §7.2). */
export function issuerByHost(issuers: Readonly<Record<string, string>>): IssuerSelector {
  const byHost = checked('issuerByHost(issuers)', issuersByName, issuers);
  return selector(byHost, (req) => {
    const host = String(req.headers[':authority'] ?? req.headers.host ?? '');
    return byHost.get(host.toLowerCase().replace(/:\d*$/, ''));
  });
}

/**
 * By how the path begins, whole segments; the longest wins. Case and percent-encoding do not count, as routers may
 * ignore them: a path that reaches a route is never taken for one that selects nothing.
 */
export function issuerByPath(issuers: Readonly<Record<string, string>>): IssuerSelector {
  const byPath = checked('issuerByPath(issuers)', issuersByName, issuers);
  const prefixes = [...byPath]
    .map(([prefix, issuer]) => ({ prefix: `${prefix.replace(/\/+$/, '')}/`, issuer }))
    .toSorted((a, b) => b.prefix.length - a.prefix.length);
  return selector(byPath, (req) => {
    const path = decodedPath(req);
    return path === undefined
      ? undefined
      : prefixes.find(({ prefix }) => `${path}/`.startsWith(prefix))?.issuer;
  });
}

/**
 * Express cuts what is mounted off `url` and keeps the whole at `originalUrl`. Undefined for what can't be decoded: not even
 * the prefix `/` may stand for it, as a router may take it for a path below another.
 */
function decodedPath(req: NodeRequest & { originalUrl?: string }): string | undefined {
  const target = req.originalUrl ?? req.url ?? '';
  // Absolute-form (RFC 9112 §3.2.2) names scheme and host first.
  const [path = ''] = target.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?]*/i, '').split('?');
  try {
    return decodeURIComponent(path).toLowerCase();
  } catch {
    return undefined;
  }
}

function selector(issuers: ReadonlyMap<string, string>, select: (req: NodeRequest) => string | undefined) {
  return Object.assign(select, { issuers: Object.freeze([...issuers.values()]) });
}
