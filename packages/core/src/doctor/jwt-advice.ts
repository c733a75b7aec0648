import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';
import { explainOtherKind } from '../authorization-server/access-token-kind.js';
import {
  type JwtClaimNames,
  jwtClaimOptions,
  readClaimMapping,
  toStandardClaims,
} from '../authorization-server/claim-names.js';
import type { RefusalCode } from '../errors.js';
import { OptionReader } from '../shared/option-group.js';
import { claimOf } from '../token/token-claims.js';
import { readTokenRejection } from '../token/token-rejection.js';

/** The refusals that options of `jwtAccessTokens()` may end. */
const byOptions: readonly RefusalCode[] = [
  'jwt_algorithm_not_accepted',
  'jwt_type_not_accepted',
  'token_claims_malformed',
];

interface Options {
  readonly algorithms?: readonly string[];
  readonly typ?: readonly string[];
  readonly claims?: JwtClaimNames;
  readonly requiredClaims?: readonly string[];
}

/**
 * Names the options of `jwtAccessTokens()` by which a refused JWT is accepted; undefined where no
 * option helps.
 */
export function adviceOnJwt(code: RefusalCode, token: string): string | undefined {
  const jwt = byOptions.includes(code) ? readJwt(token) : undefined;
  if (jwt === undefined) {
    return undefined;
  }
  const options = optionsFor(jwt);
  const claims = toStandardClaims(
    jwt.payload,
    readClaimMapping(
      new OptionReader('claims', options.claims ?? {}, jwtClaimOptions),
      options.claims === undefined,
    ),
  );
  const other = typeof claims === 'string' ? undefined : explainOtherKind(jwt.type, claims);
  if (other !== undefined) {
    return `send the access token: of this JWT ${readTokenRejection(other).detail}`;
  }
  const members = Object.entries(options).filter(([, value]) => value !== undefined);
  return members.length === 0
    ? undefined
    : 'if the access tokens of this server look so, set jwtAccessTokens({ ' +
        `${members.map(shown).join(', ')} })`;
}

interface Decoded {
  readonly alg: unknown;
  /** The media type as the option `typ` compares it. */
  readonly type: string;
  readonly payload: JWTPayload;
}

function readJwt(token: string): Decoded | undefined {
  try {
    const { alg, typ } = decodeProtectedHeader(token);
    const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : '';
    return { alg, type, payload: decodeJwt(token) };
  } catch {
    return undefined;
  }
}

/** Names that servers have for the client id. */
const clientIdNames = ['azp', 'cid', 'appid'];

const typWords: ReadonlyMap<string, string> = new Map([
  ['jwt', 'JWT'],
  ['', 'absent'],
]);

function optionsFor({ alg, type, payload }: Decoded): Options {
  const has = (name: string): boolean => claimOf(payload, name) !== undefined;
  const clientId = has('client_id') ? undefined : clientIdNames.find(has);
  const scope = !has('scope') && has('scp') ? 'scp' : undefined;
  const listed = Array.isArray(claimOf(payload, 'scope')) ? 'scope' : scope;
  const required = ['sub', 'client_id', 'iat', 'jti'];
  const present = required.filter((name) => has(name === 'client_id' ? (clientId ?? name) : name));
  const typ = typWords.get(type);
  const claims = { ...(clientId && { clientId }), ...(listed && { scope: listed }) };
  return {
    ...(alg === 'RS256' && { algorithms: ['RS256'] }),
    ...(typ && { typ: [typ] }),
    ...(Object.keys(claims).length > 0 && { claims }),
    ...(present.length < required.length && { requiredClaims: present }),
  };
}

/** Writes a member as a program does. Its values are only names of this package. */
function shown([name, value]: [string, unknown]): string {
  const list = (items: readonly string[]): string => `[${items.map((item) => `'${item}'`).join(', ')}]`;
  if (Array.isArray(value)) {
    return `${name}: ${list(value)}`;
  }
  const members = Object.entries(value as JwtClaimNames).map(([key, text]) => `${key}: '${text}'`);
  return `${name}: { ${members.join(', ')} }`;
}
