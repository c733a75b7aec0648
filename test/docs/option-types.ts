import { entries, type PublicExport, type PublicMember, publicExports } from './public-api.js';

/** What the doc comment of an option says, taken apart. */
export interface StatedOption extends PublicMember {
  readonly words: string;
  /** `Default 60` or `Default: words`; `Required` and when. */
  readonly fallback: string;
  /** Whether `fallback` is the very value: it is, but behind a colon. */
  readonly isValue: boolean;
  readonly isRequired: boolean;
  /** `0.05 to 60`, as the comment writes it, and what more it says of limits. */
  readonly range: readonly [least: string, most: string] | undefined;
  readonly beyondRange: string;
  readonly variable: string | undefined;
  /** What more is to know of the variable. */
  readonly ofVariable: string;
}

// Types whose members users give, and whose names do not end in Options.
const otherNames = [
  'AlternativeNames',
  'AuthenticationRequirement',
  'AuthorizationDetailRequirement',
  'CertificateAndKey',
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
  /^(?<words>.+?\.)(?: (?:Default(?<colon>:)? (?<value>.+?)(?:; from (?<least>[\d,.]+) to (?<most>[\d,]+(?:\.\d+)?)(?<beyond>.*?))?|Required(?<when>.*?))\.)(?: Environment: `(?<variable>\w+)`(?<of>.*)\.)?$/;

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
