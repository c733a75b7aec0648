import { isSameBytes } from '../certificate/der-members.js';
import { buildPath, type CertificatesBySubject, groupBySubject } from './path-building.js';
import type { PathCertificate } from './path-certificate.js';
import { explainCrlOnlyKeyUsage } from './path-validation.js';

/** Other certificates of one authority that are tried. One or two are in use at a time. */
const MAX_SIGNERS = 8;

/** Paths that are kept. Their number is that of configured certificates, not of clients. */
const MAX_PATHS = 1_000;

/** Milliseconds after which it is tried again to find a path that there was not. */
const TRY_AGAIN = 60_000;

/** A valid path from a signer to the trust anchor. */
export interface SignerPath {
  readonly path: readonly PathCertificate[];
  /** The end of the validity of the whole path, in milliseconds since the epoch. */
  readonly validUntil: number;
}

/** The certificates of the options. `generation` changes when they do. */
export interface ConfiguredCertificates {
  readonly authorities: CertificatesBySubject;
  readonly intermediates: CertificatesBySubject | undefined;
  readonly generation: number;
}

interface KeptOthers {
  readonly others: readonly PathCertificate[];
  readonly generation: number;
}

interface KeptPath {
  readonly found: SignerPath | undefined;
  /** From when and until when this holds, in milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
}

/**
 * The other certificates of an authority, whose keys sign its revocation lists and nothing else (RFC 5280
 * §6.3.3 (f)). Only configured certificates count, never those that a client sends.
 */
export class CrlSigners {
  readonly #configured: () => ConfiguredCertificates;
  readonly #paths = new Map<string, KeptPath>();
  readonly #others = new WeakMap<PathCertificate, KeptOthers>();
  #generation = 0;

  constructor(configured: () => ConfiguredCertificates) {
    this.#configured = configured;
  }

  /** Changes when the configured certificates do. */
  get generation(): number {
    return this.#configured().generation;
  }

  /**
   * Returns the configured certificates that have the name of the issuer and another key, which by
   * their key usage is for revocation lists alone. Nothing else is verified.
   */
  othersOf(issuer: PathCertificate): readonly PathCertificate[] {
    const { authorities, intermediates, generation } = this.#configured();
    const known = this.#others.get(issuer);
    if (known?.generation === generation) {
      return known.others;
    }
    const others = [authorities, intermediates]
      .flatMap((pool) => pool?.get(issuer.subjectName) ?? [])
      .filter(
        (one) => !isSameBytes(one.publicKey, issuer.publicKey) && explainCrlOnlyKeyUsage(one) === undefined,
      )
      .slice(0, MAX_SIGNERS);
    this.#others.set(issuer, { others, generation });
    return others;
  }

  /**
   * Returns a valid path of configured certificates from a signer to this trust anchor and no other;
   * `undefined` if there is none. Does not say whether a certificate of it is revoked.
   *
   * @param now milliseconds since the epoch
   */
  pathOf(signer: PathCertificate, anchor: PathCertificate, now: number): SignerPath | undefined {
    const anchors = () => groupBySubject([anchor]);
    return this.#findOnce(`${signer.thumbprint} ${anchor.thumbprint}`, signer, anchors, now);
  }

  /**
   * Returns a valid path of configured certificates from a signer to any of the trust anchors that are
   * configured; `undefined` if there is none. Does not say whether a certificate of it is revoked.
   *
   * @param now milliseconds since the epoch
   */
  anyPathOf(signer: PathCertificate, now: number): SignerPath | undefined {
    return this.#findOnce(signer.thumbprint, signer, ({ authorities }) => authorities, now);
  }

  #findOnce(
    key: string,
    signer: PathCertificate,
    anchorsOf: (configured: ConfiguredCertificates) => CertificatesBySubject,
    now: number,
  ): SignerPath | undefined {
    const configured = this.#configured();
    if (configured.generation !== this.#generation || this.#paths.size > MAX_PATHS) {
      this.#generation = configured.generation;
      this.#paths.clear();
    }
    const kept = this.#paths.get(key);
    if (kept !== undefined && kept.from <= now && now <= kept.to) {
      return kept.found;
    }
    const path = findPath(signer, anchorsOf(configured), configured, now);
    const fresh = path === undefined ? { found: undefined, from: now, to: now + TRY_AGAIN } : keptPath(path);
    this.#paths.set(key, fresh);
    return fresh.found;
  }
}

function findPath(
  signer: PathCertificate,
  anchors: CertificatesBySubject,
  { authorities, intermediates }: ConfiguredCertificates,
  now: number,
): readonly PathCertificate[] | undefined {
  if (anchors.get(signer.subjectName)?.some(({ thumbprint }) => thumbprint === signer.thumbprint)) {
    return signer.notBefore <= now && now <= signer.notAfter ? [signer] : undefined;
  }
  const between = intermediates === undefined ? [authorities] : [intermediates, authorities];
  const parts = { anchors, intermediates: between };
  const built = buildPath(signer, parts, now, explainCrlOnlyKeyUsage);
  return 'why' in built ? undefined : built.path;
}

function keptPath(path: readonly PathCertificate[]): KeptPath {
  const to = Math.min(...path.map(({ notAfter }) => notAfter));
  return {
    found: { path, validUntil: to },
    from: Math.max(...path.map(({ notBefore }) => notBefore)),
    to,
  };
}
