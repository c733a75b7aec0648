// A certificate above the client's is revoked, or nothing says whether it is: another path may lead to an authority.
import 'reflect-metadata';
import { ClientCertificate } from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import { thumbprintOf } from '../../../packages/core/src/certificate/client-certificate.js';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { ChainCheck } from '../../../packages/core/src/certificate-policy/chain-check.js';
import type { PathStatus } from '../../../packages/core/src/certificate-status/status-checker.js';
import { AuthoritySource } from '../../../packages/core/src/chain/authorities.js';
import { ChainVerification } from '../../../packages/core/src/chain/chain-verification.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { authority, client, keyPair, type Node } from '../../support/chains.js';
import { defaultSettings } from '../../support/written-status.js';

await x509.load();
const root = await authority('CN=Root');
/** One authority with several certificates, of the same name and key. */
const keys = await keyPair();
const between = await Promise.all(Array.from({ length: 6 }, () => authority('CN=Between', root, { keys })));
const [old, renewed, third] = between as [Node, Node, Node];
const leaf = await client('CN=client', old);

type State = PathStatus['state'];

/** A policy, the states that its statuses come from, and what it asked for. */
function policyWith(mode: 'strict' | 'tolerant' = 'strict', configured: readonly Node[] = []) {
  const states = new Map<string, State>();
  const prepared = new Set<string>();
  let generation = 0;
  /** What is known of the client's certificate by each certificate of its issuer. */
  const ofLeaf = new Map<string, State>();
  const stateOf = ({ thumbprint }: PathCertificate) =>
    prepared.has(thumbprint) ? (states.get(thumbprint) ?? 'good') : 'unknown';
  const statusOf = vi.fn((path: readonly PathCertificate[]): PathStatus => {
    const below = path.slice(0, -1).map(stateOf);
    const byIssuer = ofLeaf.get(path[1]?.thumbprint ?? '');
    if (byIssuer !== undefined && below[0] === 'good') {
      below[0] = byIssuer;
    }
    for (const state of ['revoked', 'unknown'] as const) {
      const at = below.indexOf(state);
      if (at >= 0) {
        return { state, at, code: 'unreadable', why: 'by a test', validUntil: Number.POSITIVE_INFINITY };
      }
    }
    return { state: 'good', validUntil: Number.POSITIVE_INFINITY };
  });
  const statusChecker = {
    get generation() {
      return generation;
    },
    prepare: async (path: readonly PathCertificate[]) => {
      await Promise.resolve();
      for (const { thumbprint } of path) {
        prepared.add(thumbprint);
      }
    },
    statusOf,
    close: () => undefined,
  };
  const source = (nodes: readonly Node[]) =>
    new AuthoritySource(
      nodes.map(({ cert }) => cert),
      'authorities',
      () => undefined,
    );
  const chain = new ChainVerification(
    source([root]),
    configured.length === 0 ? undefined : source(configured),
  );
  const policy = new ChainCheck(
    chain,
    { statusChecker, settings: { ...defaultSettings, mode } },
    () => undefined,
  );
  const set = (node: Pick<Node, 'der'>, state: State) => {
    states.set(thumbprintOf(node.der), state);
    generation += 1;
  };
  /** What the client who sends these certificates gets. */
  const come = async (...sent: readonly Node[]) => {
    const certificate = new ClientCertificate(leaf.der, { intermediates: sent.map(({ der }) => der) });
    await policy.prepareStatus(certificate, Date.now());
    try {
      const result = policy.judge(certificate, Date.now());
      if ('refused' in result) {
        return /^(?:authority_)?revoked$/.test(result.refused.code) ? 'revoked' : 'refused';
      }
      const [issuer] = result.certificate.intermediates;
      return between.find(({ der }) => issuer !== undefined && Buffer.compare(der, issuer) === 0);
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  const setLeaf = (issuer: Pick<Node, 'der'>, state: State) => {
    ofLeaf.set(thumbprintOf(issuer.der), state);
    generation += 1;
  };
  return { set, setLeaf, come, statusOf };
}

describe.each(['strict', 'tolerant'] as const)(
  'nothing says by one certificate of the issuer, %s',
  (mode) => {
    it('that the client is revoked: another certificate of the issuer does', async () => {
      const { setLeaf, come } = policyWith(mode);
      setLeaf(old, 'unknown');
      setLeaf(renewed, 'revoked');
      await come(old);
      expect(await come(renewed)).toBe('revoked');
      expect(await come(old, renewed)).toBe('revoked');
      expect(await come(renewed, old)).toBe('revoked');
    });

    it('that it is good: another certificate of the issuer does', async () => {
      const { setLeaf, come } = policyWith(mode);
      setLeaf(old, 'unknown');
      expect(await come(old)).toBe(mode === 'strict' ? 'certificate_status_unknown' : old);
      expect(await come(renewed)).toBe(renewed);
      expect(await come(old)).toBe(renewed);
    });

    it('whether it is revoked, and configured ones of the issuer do', async () => {
      const { setLeaf, come } = policyWith(mode, [renewed]);
      setLeaf(old, 'unknown');
      setLeaf(renewed, 'revoked');
      expect(await come(old)).toBe('revoked');
    });
  },
);

it('a client that comes with a new chain is accepted after the old one was revoked', async () => {
  const { set, come } = policyWith();
  expect(await come(old)).toBe(old);
  set(old, 'revoked');
  expect(await come(old)).toBe('revoked');
  expect(await come(renewed)).toBe(renewed);
  expect(await come()).toBe(renewed);
  expect(await come(old)).toBe(renewed);
});

it('a chain whose certificate of an unknown status was replaced is accepted', async () => {
  const { set, come } = policyWith();
  set(old, 'unknown');
  expect(await come(old)).toBe('certificate_status_unknown');
  expect(await come(renewed)).toBe(renewed);
});

it.each<[string, readonly Node[], readonly Node[]]>([
  ['sent, the revoked one first', [old, renewed], []],
  ['sent, the revoked one last', [renewed, old], []],
  ['configured', [], [old, renewed]],
  ['sent, the revoked one is configured', [renewed], [old]],
  ['configured, the revoked one is sent', [old], [renewed]],
])('the certificate that is not revoked is found: %s', async (_title, sent, configured) => {
  const { set, come } = policyWith('strict', configured);
  set(old, 'revoked');
  expect(await come(...sent)).toBe(renewed);
});

it('a revoked certificate of the client is refused whatever is above it', async () => {
  const { set, come, statusOf } = policyWith();
  set(leaf, 'revoked');
  expect(await come(old, renewed)).toBe('revoked');
  expect(statusOf).toHaveBeenCalledTimes(1);
});

it('three other paths are tried at most, and once while nothing changes', async () => {
  const { set, come, statusOf } = policyWith();
  for (const node of between) {
    set(node, 'revoked');
  }
  expect(await come(...between)).toBe('revoked');
  expect(statusOf).toHaveBeenCalledTimes(4);
  expect(await come(...between)).toBe('revoked');
  expect(statusOf).toHaveBeenCalledTimes(4);
});

describe.each(['strict', 'tolerant'] as const)('%s', (mode) => {
  const states = ['good', 'revoked', 'unknown'] as const;
  const cases = states.flatMap((a) => states.flatMap((b) => states.map((c) => [a, b, c] as const)));
  it.each(cases)('of three paths, %s, %s and %s, the best one counts', async (...given) => {
    const { set, come } = policyWith(mode);
    const nodes = [old, renewed, third];
    for (const [index, state] of given.entries()) {
      set(nodes[index] as Node, state);
    }
    const rank = given.includes('good') ? 'good' : given.includes('unknown') ? 'unknown' : 'revoked';
    const best = nodes.filter((_node, index) => given[index] === rank);
    const outcome = await come(...nodes);
    if (rank === 'good' || (rank === 'unknown' && mode === 'tolerant')) {
      expect(best).toContain(outcome);
    } else {
      expect(outcome).toBe(rank === 'unknown' ? 'certificate_status_unknown' : 'revoked');
    }
  });
});

it('a path without some certificates is found once, whatever else its client sends', async () => {
  const chain = new ChainVerification(
    new AuthoritySource(root.cert, 'authorities', () => undefined),
    undefined,
  );
  const now = Date.now();
  const avoided = new Set([thumbprintOf(old.der)]);
  const outcomes = Array.from({ length: 20 }, (_, at) => {
    const junk = Buffer.from([0x30, 1, at]);
    const intermediates = [old.der, renewed.der, junk];
    const certificate = new ClientCertificate(leaf.der, { intermediates });
    chain.verify(certificate, now);
    return chain.outcomeWithout(certificate, avoided, now);
  });
  expect(new Set(outcomes).size).toBe(1);
  expect(outcomes[0]).toHaveProperty('path');
});

it('the certificates that many clients send are kept once', async () => {
  const chain = new ChainVerification(
    new AuthoritySource(root.cert, 'authorities', () => undefined),
    undefined,
  );
  const paths = [];
  for (const name of ['CN=one', 'CN=two']) {
    const { der } = await client(name, old);
    const certificate = new ClientCertificate(der, { intermediates: [Buffer.from(old.der)] });
    const outcome = chain.verify(certificate, Date.now());
    paths.push('path' in outcome ? outcome.path : []);
  }
  const [one, two] = paths;
  expect(one).toHaveLength(3);
  expect(one?.[0]).not.toBe(two?.[0]);
  expect(one?.[1]).toBe(two?.[1]);
});
