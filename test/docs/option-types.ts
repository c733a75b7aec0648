import { entries, membersOf, type PublicExport, type PublicMember, publicExports } from './public-api.js';

/** What the doc comment of an option says, taken apart. */
export interface StatedOption extends PublicMember {
  readonly words: string;
  /** What stands behind `Default`, or `required` and when. */
  readonly fallback: string;
  /** Whether that is the very value: `Default 60`, but not `Default: discovered`. */
  readonly isValue: boolean;
  readonly isRequired: boolean;
  readonly range: readonly [least: string, most: string] | undefined;
  /** What more is said of limits. */
  readonly beyondRange: string;
  readonly variable: string | undefined;
  /** What more is said of the variable. */
  readonly ofVariable: string;
}

// Types whose members users give, and whose names do not end in Options.
const otherNames = [
  'AlternativeNames',
  'AuthenticationRequirement',
  'AuthorizationDetailRequirement',
  'CertificateAndKey',
  'CertificateHeader',
  'CertificateRequest',
  'HeaderNames',
  'RefusalDetails',
  'SharedSecret',
  'SignedAnswers',
  'TokenRequest',
];

// We give these to a function of the user's.
const isOptionType = ({ name }: PublicExport): boolean =>
  otherNames.includes(name) || (/^[A-Z]\w*Options$/.test(name) && name !== 'ConnectionOptions');

/** Every type whose members users give, by its name. */
export const optionTypes: ReadonlyMap<string, PublicExport> = new Map(
  Object.values(entries)
    .flatMap(publicExports)
    .filter(isOptionType)
    .map((type) => [type.name, type]),
);

/** What the last sentences of each comment must be. */
const form =
  /^(?<words>.+?\.)(?: (?:Default(?<colon>:)? (?<value>.+?)(?:; from (?<least>[\d,.]*\d) to (?<most>[\d,.]*\d)(?<beyond>.*?))?|Required(?<when>.*?))\.)(?: Environment: `(?<variable>\w+)`(?<of>.*)\.)?$/;

/** Throws for a comment that says neither a default nor that the option is required. */
export function statedIn(member: PublicMember): StatedOption {
  const said = form.exec(member.comment)?.groups;
  if (said === undefined) {
    throw new Error(`the comment of ${member.name} says neither Default nor Required: ${member.comment}`);
  }
  const { words = '', value, when = '', least, most, beyond = '', variable, of = '', colon } = said;
  return {
    ...member,
    words,
    fallback: value ?? `required${when}`,
    isValue: value !== undefined && colon === undefined,
    isRequired: value === undefined,
    range: least === undefined || most === undefined ? undefined : [least, most],
    beyondRange: beyond,
    variable,
    ofVariable: of,
  };
}

/** Those of a type and of what it extends, which come first. */
export function optionsOf(name: string): PublicMember[] {
  const type = optionTypes.get(name);
  if (type === undefined) {
    throw new Error(`${name} is no type of options`);
  }
  const [, base = ''] = /^export interface \w+ extends ([^{]+) \{/.exec(type.declaration) ?? [];
  const [, inherited, only] = /^(?:Pick<)?(\w+)(?:, ([^>]+)>)?$/.exec(base) ?? [];
  const members = inherited === undefined ? [] : optionsOf(inherited);
  return [
    ...members.filter((one) => only === undefined || only.includes(`'${one.name}'`)),
    ...membersOf(type),
  ];
}

/** The type of options that an option takes, alone or among others. */
export const groupOf = ({ type }: PublicMember): string | undefined =>
  type.split(' | ').find((name) => optionTypes.has(name));
