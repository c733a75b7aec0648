import { ConfigurationError } from '@mtls-bound/core';
import type { OptionGroup } from '../../packages/core/src/shared/option-group.js';
import { type DeclaredOption, declaredOptions, endingOf } from './option-declarations.js';
import { beside, type Taker } from './option-takers.js';

/** An option of `taker`, with the path that errors name it by. */
export interface Documented {
  readonly taker: Taker;
  readonly path: string;
  /** Its doc comment without the ending that is declared. */
  readonly words: string;
  /** What the column `default` says. */
  readonly fallback: string;
  /** Whether that is the very value. */
  readonly isValue: boolean;
  readonly isRequired: boolean;
  readonly limits: { readonly min: number; readonly max: number } | undefined;
  readonly limitsNote: string;
  readonly variable: string | undefined;
  /** What more is said of the variable. */
  readonly variableNote: string;
  /** Undefined for a group, whose members have rows of their own. */
  readonly accepted: string | undefined;
}

const declared = new Map(
  (await declaredOptions()).map((one): [unknown, DeclaredOption] => [one.option, one]),
);

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
  const walk = (group: OptionGroup, prefix: string): Documented[] =>
    Object.entries(group).flatMap(([name, option]) => {
      const path = `${prefix}${name}`;
      const one = documented(taker, path, declared.get(option));
      const isList = option.accepted.startsWith('a list');
      return option.group === undefined || isList ? [one] : [one, ...walk(option.group, `${path}.`)];
    });
  return walk(taker.group, taker.name === '' ? '' : `${taker.name}.`);
}

function documented(taker: Taker, path: string, found: DeclaredOption | undefined): Documented {
  if (found === undefined) {
    throw new Error(`${path} is in no exported group of options`);
  }
  const { option, comment } = found;
  const {
    accepted,
    limits,
    limitsNote = '',
    requiredInWords,
    defaultText,
    defaultInWords = 'none',
    environment,
  } = option;
  const isRequired = option.isRequired === true || requiredInWords !== undefined;
  const { name: variable, note: variableNote = '' } =
    typeof environment === 'string' ? { name: environment } : (environment ?? { name: undefined });
  const isGroup = option.group !== undefined && !accepted.startsWith('a list');
  return {
    taker,
    path,
    words: comment.slice(0, -endingOf(option).length).trim(),
    fallback: isRequired ? `required${requiredInWords ?? ''}` : (defaultText ?? defaultInWords),
    isValue: !isRequired && defaultText !== undefined,
    isRequired,
    limits,
    limitsNote,
    variable,
    variableNote,
    accepted: isGroup ? undefined : accepted,
  };
}

/** What the taker makes of its base with `value` at the path. */
export function taken(taker: Taker, path: string, value?: unknown, environment?: NodeJS.ProcessEnv): unknown {
  const names = path.slice(taker.name === '' ? 0 : taker.name.length + 1).split('.');
  const options = withValue({ ...taker.base, ...beside[path] }, names, value);
  return taker.take(...([options, ...(environment === undefined ? [] : [environment])] as [never]));
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

/** The table of a group of options. A variable stands below the name of its option. */
export function optionTable(options: readonly Documented[]): string {
  const head = ['option', 'default', 'accepted', ''];
  const rows = options.map((one) => [
    `\`${one.path}\`${one.variable === undefined ? '' : `<br>\`${one.variable}\`${one.variableNote}`}`,
    one.fallback,
    `${one.accepted ?? ''}${one.limitsNote}`,
    `${one.words}${links[one.path] === undefined ? '' : ` [More](${links[one.path]})`}`,
  ]);
  const lines = [head, head.map(() => '---'), ...rows].map((cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`.replaceAll('|  |', '| |'),
  );
  return lines.join('\n');
}

/** Those that a link is given for. */
export const linkedPaths: readonly string[] = Object.keys(links);
