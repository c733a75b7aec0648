import { sequenceOf } from '../certificate/der-members.js';
import {
  extensionOf,
  pathExtensionIds,
  readCertificatePolicies,
  readInhibitAnyPolicy,
  readPolicyConstraints,
  readPolicyMappings,
} from './extension-values.js';
import { isSelfIssued, type PathCertificate } from './path-certificate.js';

/** anyPolicy, 2.5.29.32.0: the content of its object identifier, in hex. */
const anyPolicy = '551d2000';

/**
 * The policies of a path (RFC 5280 §6.1, in the form of RFC 9618). The API accepts every policy and requires
 * none: only what the authorities themselves require counts. So only the last level of the graph is kept: a
 * map from each valid policy to the policies that are expected in the next certificate. The work for each
 * certificate is linear in what `countItems()` returns.
 */
export class ValidPolicies {
  #level: ReadonlyMap<string, ReadonlySet<string>> = new Map([[anyPolicy, new Set([anyPolicy])]]);
  /** How many certificates may follow before a policy must be there. */
  #untilExplicit: number;
  /** How many certificates may follow before policies are mapped no more. */
  #untilNoMapping: number;
  /** How many certificates may follow before anyPolicy counts no more. */
  #untilNoAny: number;

  /** @param length the number of certificates below the trust anchor */
  constructor(length: number) {
    this.#untilExplicit = length + 1;
    this.#untilNoMapping = length + 1;
    this.#untilNoAny = length + 1;
  }

  /**
   * Policies and mappings that are gone through to process a certificate: its own, and those before it. 0 for
   * one that has none.
   */
  countItems({ extensions }: PathCertificate): number {
    const own = [pathExtensionIds.certificatePolicies, pathExtensionIds.policyMappings]
      .map((id) => sequenceOf(extensions.get(id)?.value)?.length ?? 0)
      .reduce((sum, count) => sum + count, 0);
    return own === 0 ? 0 : [...this.#level.values()].reduce((sum, { size }) => sum + size, own);
  }

  /** Processes an intermediate certificate. Says why the path is refused. */
  processIntermediate(certificate: PathCertificate): string | undefined {
    return this.#narrow(certificate, isSelfIssued(certificate)) ?? this.#prepareNext(certificate);
  }

  /** Processes the last certificate. Says why the path is refused. */
  processLast(certificate: PathCertificate): string | undefined {
    const why = this.#narrow(certificate, false);
    const constraints = extensionOf(certificate, pathExtensionIds.policyConstraints, readPolicyConstraints);
    if (why !== undefined || constraints === 'malformed') {
      return why ?? 'its policy constraints can not be read';
    }
    const isDemanded = constraints !== 'missing' && constraints.requireExplicitPolicy === 0;
    return (this.#untilExplicit <= 1 || isDemanded) && this.#level.size === 0 ? policyMissing : undefined;
  }

  /** RFC 5280 §6.1.3 (d) to (f). */
  #narrow(certificate: PathCertificate, mayUseAny: boolean): string | undefined {
    const named = extensionOf(certificate, pathExtensionIds.certificatePolicies, readCertificatePolicies);
    if (named === 'malformed') {
      return 'its policies can not be read';
    }
    this.#level = named === 'missing' ? new Map() : this.#nextLevel(named, this.#untilNoAny > 0 || mayUseAny);
    return this.#untilExplicit > 0 || this.#level.size > 0 ? undefined : policyMissing;
  }

  #nextLevel(named: ReadonlySet<string>, countsAny: boolean): ReadonlyMap<string, ReadonlySet<string>> {
    const expected = new Set([...this.#level.values()].flatMap((policies) => [...policies]));
    const specific = [...named].filter(
      (policy) => policy !== anyPolicy && (expected.has(policy) || this.#level.has(anyPolicy)),
    );
    const all = named.has(anyPolicy) && countsAny ? [...specific, ...expected] : specific;
    return new Map(all.map((policy) => [policy, new Set([policy])]));
  }

  /** RFC 5280 §6.1.4 (a), (b), (h) to (j). */
  #prepareNext(certificate: PathCertificate): string | undefined {
    const mappings = extensionOf(certificate, pathExtensionIds.policyMappings, readPolicyMappings);
    const constraints = extensionOf(certificate, pathExtensionIds.policyConstraints, readPolicyConstraints);
    const inhibited = extensionOf(certificate, pathExtensionIds.inhibitAnyPolicy, readInhibitAnyPolicy);
    if (mappings === 'malformed' || constraints === 'malformed' || inhibited === 'malformed') {
      return 'its policy constraints or mappings can not be read';
    }
    if (mappings !== 'missing') {
      if (mappings.flat().includes(anyPolicy)) {
        return 'it maps anyPolicy';
      }
      this.#level = this.#mapped(mappings);
    }
    if (!isSelfIssued(certificate)) {
      this.#untilExplicit = Math.max(0, this.#untilExplicit - 1);
      this.#untilNoMapping = Math.max(0, this.#untilNoMapping - 1);
      this.#untilNoAny = Math.max(0, this.#untilNoAny - 1);
    }
    if (constraints !== 'missing') {
      const { requireExplicitPolicy = Infinity, inhibitPolicyMapping = Infinity } = constraints;
      this.#untilExplicit = Math.min(this.#untilExplicit, requireExplicitPolicy);
      this.#untilNoMapping = Math.min(this.#untilNoMapping, inhibitPolicyMapping);
    }
    if (inhibited !== 'missing') {
      this.#untilNoAny = Math.min(this.#untilNoAny, inhibited);
    }
    return undefined;
  }

  #mapped(mappings: readonly (readonly [string, string])[]): ReadonlyMap<string, ReadonlySet<string>> {
    const level = new Map(this.#level);
    for (const [from, expected] of groupMappings(mappings)) {
      if (this.#untilNoMapping === 0) {
        level.delete(from);
      } else if (level.has(from) || level.has(anyPolicy)) {
        level.set(from, expected);
      }
    }
    return level;
  }
}

/** The policies that each policy is mapped to. */
function groupMappings(
  mappings: readonly (readonly [string, string])[],
): ReadonlyMap<string, ReadonlySet<string>> {
  const groups = new Map<string, Set<string>>();
  for (const [from, to] of mappings) {
    groups.set(from, (groups.get(from) ?? new Set()).add(to));
  }
  return groups;
}

const policyMissing = 'an authority of its path demands a policy that the path does not have';
