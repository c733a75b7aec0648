import { type OptionsOf, optional, optionGroup, required, type SettingsOf } from '../shared/option-group.js';
import { isPlainObject, issuerUrl, type OptionRule, scopeList } from '../shared/option-rules.js';
import type { HttpAnswer } from './http-answer.js';

const ownMembers = [
  'resource',
  'authorization_servers',
  'bearer_methods_supported',
  'scopes_supported',
  'tls_client_certificate_bound_access_tokens',
  'dpop_signing_alg_values_supported',
  'dpop_bound_access_tokens_required',
];

const furtherMembers: OptionRule<Readonly<Record<string, unknown>>> = {
  accepted: 'an object of further members; those that follow from other options are not among them',
  read: (given) => {
    if (!isPlainObject(given) || Object.keys(given).some((name) => ownMembers.includes(name))) {
      return undefined;
    }
    try {
      // What JSON can't hold fails at start-up, not when a client asks for the document.
      return JSON.parse(JSON.stringify(given)) as Readonly<Record<string, unknown>>;
    } catch {
      return undefined;
    }
  },
};

export const resourceMetadataOptions = optionGroup({
  /**
   * The resource identifier of this API, an https URL without query and fragment. Clients send it
   * as `resource` (RFC 8707 §2). Required.
   */
  resource: required(issuerUrl),
  /** `scopes_supported`. Default: left out. */
  scopesSupported: optional(scopeList, { defaultInWords: 'left out' }),
  /**
   * Further members, for example `resource_name` or `resource_documentation`. Members that other
   * options determine are refused. Default: none.
   */
  members: optional(furtherMembers),
});

/** What this resource says of itself (RFC 9728 §2). */
export interface ResourceMetadataOptions extends OptionsOf<typeof resourceMetadataOptions> {}

/** The document, and where it is. */
export interface ResourceMetadata {
  readonly url: string;
  /** The answer to a request for it; undefined for any other request. */
  answerTo(method: string | undefined, target: string | undefined): HttpAnswer | undefined;
}

/** Seconds for which clients may keep the document (RFC 9728 §7.10). */
const MAX_AGE = 3_600;

/**
 * Throws `ConfigurationError`. The URL comes from the configuration alone, never from a request
 * (RFC 9728 §7.3).
 */
export function createResourceMetadata(
  { resource, scopesSupported, members }: SettingsOf<typeof resourceMetadataOptions>,
  issuers: readonly string[],
  isBound: boolean,
  dpopAlgorithms: readonly string[] | undefined,
): ResourceMetadata {
  const { origin, pathname } = new URL(resource);
  // RFC 9728 §3.1: between host and path.
  const location = `/.well-known/oauth-protected-resource${pathname === '/' ? '' : pathname}`;
  const body = JSON.stringify({
    resource,
    authorization_servers: issuers,
    bearer_methods_supported: ['header'],
    scopes_supported: scopesSupported,
    // With DPoP a token may be bound to a key instead.
    tls_client_certificate_bound_access_tokens: isBound && dpopAlgorithms === undefined,
    dpop_signing_alg_values_supported: dpopAlgorithms,
    ...members,
  });
  const answer: HttpAnswer = Object.freeze({
    status: 200,
    headers: Object.freeze({
      'Content-Type': 'application/json',
      'Cache-Control': `public, max-age=${MAX_AGE}`,
    }),
    body,
  });
  return Object.freeze({
    url: origin + location,
    answerTo: (method: string | undefined, target: string | undefined) =>
      (method === 'GET' || method === 'HEAD') && target?.split('?')[0] === location ? answer : undefined,
  });
}
