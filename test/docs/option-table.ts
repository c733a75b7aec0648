import { ConfigurationError } from '@mtls-bound/core';
import { beside, type Taker } from './option-takers.js';
import { groupOf, optionsOf, type StatedOption, statedIn } from './option-types.js';

/** An option of `taker`, with the path that errors name it by. */
export interface Documented extends StatedOption {
  readonly taker: Taker;
  readonly path: string;
  /** What is refused in its place is told so; undefined for a group, whose members have rows of their own. */
  readonly accepted: string | undefined;
}

/** Where more is said, by path. */
const links: Readonly<Record<string, string>> = {
  clientAuthentication: '../guides/authorization-server.md#4-authenticate-your-api',
  issuers: 'issuers.md',
  tokens: '../guides/authorization-server.md#3-choose-introspection-or-jwts',
  binding: '../guides/migration.md',
  profile: '../guides/fapi.md#a-profile',
  resourceMetadata: '../guides/fapi.md#the-resources-metadata',
  certificate: 'proxies/README.md',
  certificatePolicy: 'proxies/README.md#more-than-the-binding',
  'cache.maxSize': 'load.md#memory',
  'cache.staleIfError': 'load.md#when-it-is-down',
  sharedCache: '../guides/fleet.md#the-shared-cache',
  revocations: '../guides/revocation.md',
  floodGuard: 'load.md#floods',
  'circuitBreaker.maxFailures': 'load.md#what-the-authorization-server-has-to-bear',
  explain: '#explained-refusals',
  'introspection().signed': '../guides/authorization-server.md#signed-answers',
  'sharedSignals().poll': 'shared-signals.md#poll',
  'sharedSignals().stream': 'shared-signals.md#the-stream',
  'jwtAccessTokens().typ': 'jwt.md#jwts-that-are-not-written-as-rfc-9068-says',
  'jwtAccessTokens().claims': 'jwt.md#jwts-that-are-not-written-as-rfc-9068-says',
  'jwtAccessTokens().introspection': '../guides/revocation.md#ask-on-each-request-of-a-route',
};

/** Every option of it, and those of each group. */
export function documentedOptions(taker: Taker): Documented[] {
  const walk = (type: string, prefix: string): Documented[] =>
    optionsOf(type).flatMap((member) => {
      const path = `${prefix}${member.name}`;
      const group = groupOf(member);
      const one = { ...statedIn(member), taker, path };
      return group === undefined
        ? [{ ...one, accepted: acceptedBy(taker, path) }]
        : [{ ...one, accepted: undefined }, ...walk(group, `${path}.`)];
    });
  return walk(taker.type, taker.name === '' ? '' : `${taker.name}.`);
}

/** What the taker makes of its base with `value` at the path. */
export function taken(taker: Taker, path: string, value?: unknown, environment?: NodeJS.ProcessEnv): unknown {
  const names = path.slice(taker.name === '' ? 0 : taker.name.length + 1).split('.');
  const options = withValue({ ...taker.base, ...beside[path] }, names, value);
  return taker.take(options as never, environment);
}

function withValue(options: object, [name = '', ...rest]: readonly string[], value: unknown): object {
  const within = (options as Record<string, object>)[name] ?? {};
  return { ...options, [name]: rest.length === 0 ? value : withValue(within, rest, value) };
}

/** The error of a value that is refused; undefined for one that is accepted. */
export function refusalOf(taker: Taker, path: string, value: unknown): ConfigurationError | undefined {
  try {
    taken(taker, path, value);
  } catch (error) {
    if (error instanceof ConfigurationError) {
      return error;
    }
    throw error;
  }
  return undefined;
}

/** No option takes a symbol. */
function acceptedBy(taker: Taker, path: string): string {
  const { message = '' } = refusalOf(taker, path, Symbol('nothing')) ?? {};
  const [, accepted] = /; accepted (?:is|are) (.+)$/.exec(message) ?? [];
  if (accepted === undefined || !message.startsWith(`${path}: `)) {
    throw new Error(`what ${path} accepts was not told: ${message}`);
  }
  return accepted;
}

/** The table of the options page; the column of the environment where one of them is read from there. */
export function optionTable(options: readonly Documented[]): string {
  const hasVariables = options.some(({ variable }) => variable !== undefined);
  const head = ['option', ...(hasVariables ? ['environment'] : []), 'default', 'accepted', ''];
  const rows = options.map((one) => [
    `\`${one.path}\``,
    ...(hasVariables ? [one.variable === undefined ? '' : `\`${one.variable}\`${one.ofVariable}`] : []),
    one.fallback,
    `${one.accepted ?? ''}${one.beyondRange}`,
    `${one.words}${links[one.path] === undefined ? '' : ` [More](${links[one.path]})`}`,
  ]);
  const lines = [head, head.map(() => '---'), ...rows].map((cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`.replaceAll('|  |', '| |'),
  );
  return lines.join('\n');
}

/** Those that a link is given for. */
export const linkedPaths: readonly string[] = Object.keys(links);
