import type { ConfigurationError } from '../errors.js';
import {
  createMismatch,
  described,
  describeOptionsObject,
  refuseHiddenMember,
  refuseUnknownName,
} from './option-errors.js';
import { checkOption, isPlainObject, nonEmptyList, type OptionRule, ownVariable } from './option-rules.js';

/** An environment variable that gives an option a value. */
export interface EnvironmentSource<T> {
  readonly name: string;
  /** How the variable is read. Default: like the option. */
  readonly rule?: OptionRule<T>;
  /** What the docs say about it behind its name. */
  readonly note?: string;
}

/** What the docs say about an option, as far as its declaration does not say it. */
export interface OptionNotes<T> {
  readonly environment?: string | EnvironmentSource<T>;
  /** What the docs say that holds if the option is missing. No code decides by it. */
  readonly defaultInWords?: string;
  /**
   * What the docs say behind `Required`: ` unless clientAuthentication is given`, or an empty text.
   * The code that reads the option checks it.
   */
  readonly requiredInWords?: string;
  /** Further limits, behind those of the rule. */
  readonly limitsNote?: string;
}

/** One option as it is declared: what it accepts, and what holds if it is missing. */
export interface Option<T, Given = T> extends OptionRule<T, Given>, OptionNotes<T> {
  /** The options that this one takes, where it takes options of its own. */
  readonly group?: OptionGroup;
}

/** An option that has a value if it is missing. */
export interface DefaultedOption<T, Given = T> extends Option<T, Given> {
  readonly createDefault: () => T;
  /** The default as a program writes it. */
  readonly defaultText: string;
}

/** An option that must be given. */
export interface RequiredOption<T, Given = T> extends Option<T, Given> {
  readonly isRequired: true;
}

/** An option that takes a group of options. Its setting is the settings of the group. */
export interface GroupOption<G extends OptionGroup, Given = OptionsOf<G>>
  extends DefaultedOption<SettingsOf<G>, Given> {
  readonly group: G;
}

// biome-ignore lint/suspicious/noExplicitAny: any option fits, whatever it accepts.
type AnyOption = Option<any, any>;

/** Options by their names. */
export type OptionGroup = Readonly<Record<string, AnyOption>>;

type RequiredNames<G> = {
  [Name in keyof G]: G[Name] extends { readonly isRequired: true } ? Name : never;
}[keyof G];

type GivenOf<O> = O extends OptionRule<unknown, infer Given> ? Given : never;

type Needed<G, Names extends keyof G> = { readonly [Name in Names]: GivenOf<G[Name]> };

type Optional<G, Names extends keyof G> = { readonly [Name in Names]?: GivenOf<G[Name]> };

/**
 * The options object that a user writes for a group. The doc comments of the declarations stand at
 * its members.
 */
export type OptionsOf<G> = Needed<G, RequiredNames<G>> & Optional<G, Exclude<keyof G, RequiredNames<G>>>;

/**
 * What an option becomes: `undefined` if it is missing and has neither a default nor must be given.
 */
export type SettingOf<O> =
  O extends OptionRule<infer T, unknown>
    ? O extends { readonly isRequired: true } | { readonly createDefault: () => unknown }
      ? T
      : T | undefined
    : never;

/** The options of a group, checked and completed. */
export type SettingsOf<G> = { readonly [Name in keyof G]: SettingOf<G[Name]> };

type NestedGroup<O> = O extends { readonly group: infer G extends OptionGroup } ? G : never;

/**
 * Declares a group of options. Type, check, default, limits, environment variable and error text of
 * each come from here, and with its doc comment the tables of the docs, too.
 */
export function optionGroup<const G extends OptionGroup>(group: G): G {
  return Object.freeze(group);
}

/** Without a prototype: what is added to Object.prototype declares nothing. */
function declare<O extends object>(option: O): Readonly<O> {
  return Object.freeze(Object.assign(Object.create(null), option));
}

/** An option without a default. */
export function optional<T, Given>(
  rule: OptionRule<T, Given>,
  notes: OptionNotes<NoInfer<T>> = {},
): Option<T, Given> {
  return declare({ ...rule, ...notes });
}

/** An option that must be given, here or in the environment. */
export function required<T, Given>(
  rule: OptionRule<T, Given>,
  notes: OptionNotes<NoInfer<T>> = {},
): RequiredOption<T, Given> {
  return declare({ ...rule, ...notes, isRequired: true });
}

/** An option with a default. */
export function withDefault<T, Given>(
  rule: OptionRule<T, Given>,
  value: NoInfer<T>,
  notes: OptionNotes<NoInfer<T>> = {},
): DefaultedOption<T, Given> {
  return declare({ ...rule, ...notes, createDefault: () => value, defaultText: writeDefault(value) });
}

/** An option whose default is made when it is needed. `defaultText` is how a program writes it. */
export function withCreatedDefault<T, Given>(
  rule: OptionRule<T, Given>,
  defaultText: string,
  createDefault: () => NoInfer<T>,
  notes: OptionNotes<NoInfer<T>> = {},
): DefaultedOption<T, Given> {
  return declare({ ...rule, ...notes, createDefault, defaultText: `\`${defaultText}\`` });
}

/** An option that takes a group of options. If it is missing, each of them has its default. */
export function nestedGroup<G extends OptionGroup, Given = OptionsOf<G>>(group: G): GroupOption<G, Given> {
  return declare({
    ...nestedRule<SettingsOf<G>, Given>(group),
    createDefault: () => new OptionReader('options', {}, group).settings(),
    defaultText: '`{}`',
    group,
  });
}

/**
 * What an option accepts that takes a group of options and has no default, or takes other values,
 * too. Its members are read by `OptionReader.nested()`.
 */
export function nestedRule<T, Given>(
  group: OptionGroup,
): OptionRule<T, Given> & { readonly group: OptionGroup } {
  return {
    accepted: describeOptionsObject(Object.keys(group)),
    // Read by OptionReader, which knows the path.
    read: (given) => given as T,
    group,
  };
}

function writeDefault(value: unknown): string {
  if (typeof value === 'number') {
    // `toLocaleString()` takes tens of milliseconds when it is first called, at start-up.
    return String(value).replace(/(?<!\.\d*)\B(?=(?:\d{3})+(?!\d))/g, ',');
  }
  if (typeof value === 'string') {
    return `\`${value}\``;
  }
  const written = Array.isArray(value)
    ? `[${value.map((item) => `'${item}'`).join(', ')}]`
    : JSON.stringify(value);
  return `\`${written}\``;
}

/** A duration in seconds. Fractions are accepted. */
export function seconds(
  limits: { min: number; max: number; default: number } & OptionNotes<number>,
): DefaultedOption<number>;
export function seconds(limits: { min: number; max: number } & OptionNotes<number>): Option<number>;
export function seconds(limits: NumberLimits): Option<number> {
  return limitedNumber('a number of seconds', limits, (given) => typeof given === 'number');
}

/** A whole number. */
export function wholeNumber(
  limits: { min: number; max: number; default: number } & OptionNotes<number>,
): DefaultedOption<number>;
export function wholeNumber(limits: { min: number; max: number } & OptionNotes<number>): Option<number>;
export function wholeNumber(limits: NumberLimits): Option<number> {
  return limitedNumber('a whole number', limits, Number.isInteger);
}

interface NumberLimits extends OptionNotes<number> {
  readonly min: number;
  readonly max: number;
  readonly default?: number;
}

function limitedNumber(
  what: string,
  { min, max, default: value, ...notes }: NumberLimits,
  isOfKind: (given: unknown) => boolean,
): Option<number> {
  const rule: OptionRule<number> = {
    accepted: `${what} from ${min} to ${max}`,
    shows: 'number',
    limits: { min, max },
    read: (given) =>
      isOfKind(given) && Number(given) >= min && Number(given) <= max ? Number(given) : undefined,
  };
  return value === undefined ? optional(rule, notes) : withDefault(rule, value, notes);
}

/**
 * Reads the options of one object, by the declaration of their group. Each error names the path of
 * the option.
 */
export class OptionReader<const G extends OptionGroup> {
  readonly #path: string;
  readonly #group: G;
  readonly #given: Record<string, unknown>;
  readonly #environment: NodeJS.ProcessEnv | undefined;
  readonly #inherited: OptionReader<G> | undefined;
  readonly #neverInherited: readonly string[];

  /**
   * Throws `ConfigurationError` unless `options` is a plain object whose names are all in the
   * group. What is missing is read from `inherited`, except `neverInherited`.
   */
  constructor(
    path: string,
    options: unknown,
    group: G,
    environment?: NodeJS.ProcessEnv,
    inherited?: OptionReader<G>,
    neverInherited: readonly string[] = [],
  ) {
    const names = Object.keys(group);
    if (!isPlainObject(options)) {
      // What is given in place of the object `secret` is most likely the secret itself.
      const isSecret = typeof options !== 'object' && path.endsWith('.secret');
      const got = isSecret ? `a value of type ${typeof options}` : described(options);
      throw createMismatch(path, describeOptionsObject(path === 'options' ? undefined : names), got);
    }
    refuseUnknownName(path, Object.keys(options), names);
    refuseHiddenMember(path, options);
    this.#path = path;
    this.#group = group;
    // Own members alone: what is added to Object.prototype is no option.
    this.#given = Object.assign(Object.create(null), options);
    this.#environment = environment;
    this.#inherited = inherited;
    this.#neverInherited = neverInherited;
  }

  /** The object's own name as errors write it. */
  get path(): string {
    return this.#path;
  }

  /** The option's name as errors write it. */
  pathOf(name: string): string {
    return this.#path === 'options' ? name : `${this.#path}.${name}`;
  }

  /** Whether this object does not have the option, which may be inherited or come from the environment. */
  isUnwritten(name: keyof G & string): boolean {
    return this.#given[name] === undefined;
  }

  /** Returns whether an option that takes options of its own was switched on or off instead. */
  isExactly(name: keyof G & string, value: boolean): boolean {
    return this.#given[name] === value;
  }

  /**
   * Returns the checked value: from the options, what they inherit, the environment or the default,
   * in this order.
   */
  get<const Name extends keyof G & string>(name: Name): SettingOf<G[Name]> {
    const given = this.#given[name] === undefined ? undefined : this.find(name);
    if (given !== undefined) {
      return given;
    }
    const inherited = this.#inheritedFor(name);
    if (inherited !== undefined) {
      return inherited.get(name);
    }
    const option = this.#group[name] as AnyOption;
    const source = sourceOf(option);
    const value = source && this.#variable(source.name, source.rule ?? option);
    if (value !== undefined) {
      return value as SettingOf<G[Name]>;
    }
    if ('isRequired' in option && option.isRequired === true) {
      throw this.createMissingError(name);
    }
    // A group is read even if it is missing: its members may be in the environment.
    return option.group !== undefined && 'createDefault' in option
      ? (this.nested(name).settings() as SettingOf<G[Name]>)
      : ((option as Partial<DefaultedOption<unknown>>).createDefault?.() as SettingOf<G[Name]>);
  }

  /**
   * Returns the checked value, or throws `ConfigurationError` if it is missing, though it need not
   * always be given.
   */
  getRequired<const Name extends keyof G & string>(name: Name): NonNullable<SettingOf<G[Name]>> {
    const value = this.get(name);
    if (value === undefined || value === null) {
      throw this.createMissingError(name);
    }
    return value;
  }

  /** All settings of the group, frozen. */
  settings(): SettingsOf<G> {
    const entries = Object.keys(this.#group).map((name) => [name, this.get(name)]);
    return Object.freeze(Object.fromEntries(entries)) as SettingsOf<G>;
  }

  /**
   * Returns the reader of an option that takes options of its own; of no options if it is missing.
   */
  nested<const Name extends keyof G & string>(name: Name): OptionReader<NestedGroup<G[Name]>> {
    const group = (this.#group[name] as AnyOption).group as NestedGroup<G[Name]>;
    const given = this.#given[name];
    return new OptionReader(
      this.pathOf(name),
      given === undefined ? {} : given,
      group,
      this.#environment,
      this.#inherited?.nested(name),
    );
  }

  /** Returns the readers of a list of options objects. They read nothing from the environment. */
  list<const Name extends keyof G & string>(
    name: Name,
    inherited?: OptionReader<NestedGroup<G[Name]>>,
    neverInherited?: readonly string[],
  ): OptionReader<NestedGroup<G[Name]>>[] {
    const group = (this.#group[name] as AnyOption).group as NestedGroup<G[Name]>;
    const path = this.pathOf(name);
    return checkOption(path, nonEmptyList, this.#given[name]).map(
      (item, index) =>
        new OptionReader(`${path}[${index}]`, item, group, undefined, inherited, neverInherited),
    );
  }

  /**
   * Returns the checked value of the options or of what they inherit; undefined if it is in
   * neither.
   */
  find<const Name extends keyof G & string>(name: Name): SettingOf<G[Name]> | undefined {
    const given = this.#given[name];
    if (given === undefined) {
      return this.#inheritedFor(name)?.find(name);
    }
    const option = this.#group[name] as AnyOption;
    return option.group === undefined
      ? checkOption(this.pathOf(name), option, given)
      : (this.nested(name).settings() as SettingOf<G[Name]>);
  }

  /** The error of an option that is missing. */
  createMissingError(name: keyof G & string): ConfigurationError {
    const inherited = this.#inheritedFor(name);
    if (inherited !== undefined) {
      return inherited.createMissingError(name);
    }
    const option = this.#group[name] as AnyOption;
    const variable = this.#environment && sourceOf(option)?.name;
    const hint =
      variable === undefined ? '' : (`, and the environment variable ${variable} is not set` as const);
    return createMismatch(this.pathOf(name), option.accepted, 'nothing', hint);
  }

  #inheritedFor(name: string): OptionReader<G> | undefined {
    return this.#neverInherited.includes(name) ? undefined : this.#inherited;
  }

  /** The checked value of an environment variable; undefined if it is not set. */
  #variable(name: string, rule: OptionRule<unknown>): unknown {
    const given = this.#environment && ownVariable(this.#environment, name);
    // An empty variable is how many tools say "not set".
    if (!given) {
      return undefined;
    }
    if (given !== given.trim()) {
      throw createMismatch(name, 'a value without blanks and line ends around it', describeEdge(given));
    }
    return checkOption(name, rule, given);
  }
}

/**
 * Reads all options of an object by the declaration of their group. Throws `ConfigurationError`.
 */
export function readOptions<const G extends OptionGroup>(
  path: string,
  options: unknown,
  group: G,
  environment?: NodeJS.ProcessEnv,
): SettingsOf<G> {
  return new OptionReader(path, options, group, environment).settings();
}

/** Returns the names of the environment variables that give the options of a group their values. */
export function variablesOf(group: OptionGroup): string[] {
  const names = Object.values(group).flatMap((option) => [
    sourceOf(option)?.name,
    ...(option.group === undefined ? [] : variablesOf(option.group)),
  ]);
  return [...new Set(names.filter((name) => name !== undefined))];
}

function sourceOf({ environment }: AnyOption): EnvironmentSource<unknown> | undefined {
  return typeof environment === 'string' ? { name: environment } : environment;
}

function describeEdge(given: string): string {
  const isAtEnd = given !== given.trimEnd();
  const [edge = ''] = (isAtEnd ? /[\s\uFEFF]+$/ : /^[\s\uFEFF]+/).exec(given) ?? [];
  return `one that ${isAtEnd ? 'ends in' : 'begins with'} ${/[\r\n]/.test(edge) ? 'a line end' : 'a blank'}`;
}
