import { generateKeyPairSync } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { redactUrl } from '../shared/shown-url.js';
import {
  createProofSigner,
  type ProofChanges,
  type ProofSigner,
  type ProofTarget,
} from '../testing/proof-signer.js';
import { exchange } from './exchange.js';
import { type Finding, ok, problem, warning } from './finding.js';

/** A running API that accepts DPoP. */
export interface ProofProbeOptions {
  /** Of a protected resource, as clients write it: proofs name it. GET requests are sent to it. */
  readonly url: URL;
  /** An access token that is bound to the key of `signer`. */
  readonly token: string;
  readonly signer: ProofSigner;
  /** A client's certificate and key, PEM, for a token that is bound to a certificate too. */
  readonly identity: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  /** Trusted in addition to Node's list, for the certificate of the API. */
  readonly ca: Buffer | undefined;
}

interface Reply {
  readonly status: number;
  /** `DPoP-Nonce`. */
  readonly nonce: string | undefined;
  readonly challenge: string;
}

type Send = (headers: Readonly<Record<string, string | string[]>>) => Promise<Reply | string>;

/** Sends a right proof and broken ones, and reports what the API accepts. Never rejects. */
export async function probeProofs(options: ProofProbeOptions): Promise<Finding[]> {
  const { url, token, signer, identity, ca } = options;
  const shown = redactUrl(url);
  const target: ProofTarget = { method: 'GET', url: url.href, token };
  const send: Send = (headers) => exchange({ url, headers, ca, identity }, readReply);
  const first = await send(withProof(token, signer.createProof(target)));
  if (typeof first === 'string') {
    return [problem('unreachable', `${shown} gives no answer: ${first}`, 'check the URL and --ca')];
  }
  const { nonce } = first;
  const demandsNonce = first.status === 401 && nonce !== undefined;
  const claims = demandsNonce ? { nonce } : {};
  const good = signer.createProof(target, { claims });
  const reply = demandsNonce ? await send(withProof(token, good)) : first;
  if (typeof reply === 'string' || reply.status >= 300) {
    return [refusedFinding(reply, shown)];
  }
  const accepted = ok(
    'proof_accepted',
    `${shown} accepts a right proof${demandsNonce ? ', with the nonce that it demands' : ''}`,
  );
  const cases = brokenProofs({ target, signer, claims, demandsNonce });
  const findings: Finding[] = [];
  for (const { code, what, fix, headers } of cases) {
    const outcome = await send(headers);
    if (typeof outcome !== 'string' && outcome.status < 300) {
      findings.push(problem(code, `${shown} accepts ${what}`, fix));
    } else if (typeof outcome === 'string' || (outcome.status !== 400 && outcome.status !== 401)) {
      const said = typeof outcome === 'string' ? `gives no answer (${outcome})` : `answers ${outcome.status}`;
      findings.push(
        warning('proof_not_judged', `${shown} ${said} to ${what}`, 'read the log of the API, and try again'),
      );
    }
  }
  findings.push(
    ...(await replayFindings(send, withProof(token, signer.createProof(target, { claims })), shown)),
  );
  return [
    accepted,
    ...(findings.length === 0
      ? [ok('broken_proofs_refused', `${shown} refuses a repeated proof and ${cases.length} broken requests`)]
      : findings),
  ];
}

/** Processes that a load balancer may spread connections over. */
const REPLAYS = 8;

/** On connections of their own, so that a load balancer brings them to several processes. */
async function replayFindings(send: Send, headers: Parameters<Send>[0], shown: string): Promise<Finding[]> {
  const replies = await Promise.all(Array.from({ length: REPLAYS }, () => send(headers)));
  const count = replies.filter((reply) => typeof reply !== 'string' && reply.status < 300).length;
  return count === 1
    ? []
    : [
        count === 0
          ? warning(
              'proof_not_judged',
              `${shown} refuses each of ${REPLAYS} requests with one right proof`,
              tryAgain,
            )
          : problem(
              'replayed_proof_accepted',
              `${shown} accepts one proof ${count} times`,
              'accept each proof once. If several processes share the requests, give all of them one ' +
                'dpop.store',
            ),
      ];
}

const tryAgain = 'read the log of the API, and try again';

function withProof(token: string, proof: string): Record<string, string> {
  return { authorization: `DPoP ${token}`, dpop: proof };
}

function refusedFinding(reply: Reply | string, shown: string): Finding {
  if (typeof reply === 'string') {
    return problem('unreachable', `${shown} gives no answer: ${reply}`, 'check the URL and --ca');
  }
  const { status, challenge } = reply;
  const message = `${shown} answers ${status} to a right proof${challenge === '' ? '' : `: ${challenge}`}`;
  if (status === 401 && !/(?:^|, *)dpop(?: |$)/i.test(challenge)) {
    return problem('dpop_off', message, 'set the option dpop: the API does not offer the scheme DPoP');
  }
  return problem(
    'right_proof_refused',
    message,
    'give a token that is bound to --proof-key, and let --url be the URL that dpop.origin and ' +
      'dpop.pathPrefix name',
  );
}

/** A request that an API must refuse. */
interface BrokenProof {
  /** Of the finding, if the API accepts it. */
  readonly code: string;
  readonly what: string;
  readonly fix: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
}

interface ProofParts {
  readonly target: ProofTarget;
  readonly signer: ProofSigner;
  /** What a right proof has besides. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly demandsNonce: boolean;
}

const anotherHost = 'mtls-doctor.invalid';

const beforeAnything = 'read the token only behind mtlsBound(), or what else checks proofs';
const asWritten =
  'compare htm, htu and ath with the request, with an origin that is configured (RFC 9449 §4.3)';
const byKey = 'compare the key of the proof with cnf.jkt, and verify its signature (RFC 9449 §4.3, §7.1)';

function brokenProofs({ target, signer, claims, demandsNonce }: ProofParts): BrokenProof[] {
  const { token } = target;
  const { origin, pathname } = new URL(target.url);
  const another = createProofSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const make = (changes: ProofChanges = {}, by = signer): string =>
    by.createProof(target, { ...changes, claims: { ...claims, ...changes.claims } });
  const changed = (changes: ProofChanges, by = signer) => withProof(token, make(changes, by));
  const signed = (proof: string): string => proof.slice(0, proof.lastIndexOf('.'));
  const signature = (proof: string): string => proof.slice(proof.lastIndexOf('.') + 1);
  const now = Math.floor(Date.now() / 1000);
  const brokenProof = (
    code: string,
    what: string,
    fix: string,
    headers: BrokenProof['headers'],
  ): BrokenProof => ({
    code,
    what,
    fix,
    headers,
  });
  return [
    brokenProof('no_token_accepted', 'a request without a token', beforeAnything, {}),
    brokenProof('no_proof_accepted', 'the token with the scheme DPoP and no proof', byKey, {
      authorization: `DPoP ${token}`,
    }),
    brokenProof('no_proof_accepted', 'the token with the scheme dpop in lower case and no proof', byKey, {
      authorization: `dpop ${token}`,
    }),
    brokenProof('bearer_accepted', 'the token with the scheme Bearer (RFC 9449 §7.1 forbids it)', byKey, {
      authorization: `Bearer ${token}`,
    }),
    brokenProof('two_proofs_accepted', 'two proofs in one request', 'accept one header DPoP', {
      authorization: `DPoP ${token}`,
      dpop: [make(), make()],
    }),
    brokenProof('wrong_key_accepted', 'a proof by another key', byKey, changed({}, another)),
    brokenProof(
      'wrong_signature_accepted',
      'a proof with the signature of another proof',
      byKey,
      withProof(token, `${signed(make())}.${signature(make())}`),
    ),
    brokenProof(
      'no_signature_accepted',
      'a proof with alg none',
      byKey,
      withProof(token, `${signed(make({ header: { alg: 'none' } }))}.`),
    ),
    brokenProof(
      'wrong_type_accepted',
      'a proof with typ JWT',
      'compare typ with dpop+jwt',
      changed({ header: { typ: 'JWT' } }),
    ),
    brokenProof('wrong_method_accepted', 'a proof for POST', asWritten, changed({ claims: { htm: 'POST' } })),
    brokenProof(
      'wrong_url_accepted',
      'a proof for another path',
      asWritten,
      changed({ claims: { htu: `${origin}${pathname.replace(/\/$/, '')}/mtls-doctor` } }),
    ),
    brokenProof(
      'wrong_host_accepted',
      `a proof for the host ${anotherHost}, which X-Forwarded-Host names`,
      asWritten,
      {
        ...changed({ claims: { htu: `https://${anotherHost}${pathname}` } }),
        'x-forwarded-host': anotherHost,
        'x-forwarded-proto': 'https',
        forwarded: `host=${anotherHost};proto=https`,
      },
    ),
    brokenProof('no_ath_accepted', 'a proof without ath', asWritten, changed({ claims: { ath: undefined } })),
    brokenProof(
      'wrong_ath_accepted',
      'a proof for another access token',
      asWritten,
      changed({ claims: { ath: 'A'.repeat(43) } }),
    ),
    brokenProof(
      'no_jti_accepted',
      'a proof without jti',
      'accept each proof once, by its jti',
      changed({ claims: { jti: undefined } }),
    ),
    ...(demandsNonce
      ? [
          brokenProof(
            'wrong_nonce_accepted',
            'a proof with a made-up nonce',
            'accept the nonces alone that were given out',
            changed({ claims: { nonce: 'mtls-doctor' } }),
          ),
        ]
      : [
          brokenProof(
            'old_proof_accepted',
            'a proof that was made an hour ago',
            'accept proofs for a minute or so after their iat',
            changed({ claims: { iat: now - 3_600 } }),
          ),
          brokenProof(
            'future_proof_accepted',
            'a proof that is made in an hour',
            'accept no iat of the future, but for seconds by which clocks differ',
            changed({ claims: { iat: now + 3_600 } }),
          ),
        ]),
  ];
}

async function readReply(res: IncomingMessage): Promise<Reply> {
  const { 'dpop-nonce': nonce, 'www-authenticate': challenge = '' } = res.headers;
  res.destroy();
  return {
    status: res.statusCode ?? 0,
    nonce: typeof nonce === 'string' ? nonce : undefined,
    challenge: challenge.slice(0, MAX_CHALLENGE),
  };
}

/** Characters of a challenge that are shown. */
const MAX_CHALLENGE = 500;
