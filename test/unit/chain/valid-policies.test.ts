// The policies of a path (RFC 5280 §6.1, RFC 9618): an authority that demands one gets a path that has it.
import { describe, expect, it } from 'vitest';
import { pathExtensionIds } from '../../../packages/core/src/chain/extension-values.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { ValidPolicies } from '../../../packages/core/src/chain/valid-policies.js';
import { der, identifier, integer, sequence } from '../../support/written-der.js';

const [any, gold, silver] = ['2.5.29.32.0', '1.2.1', '1.2.2'];

/** What a certificate of a path says about policies. */
interface Written {
  readonly policies?: readonly string[];
  readonly mappings?: readonly (readonly [from: string, to: string])[];
  /** requireExplicitPolicy, inhibitPolicyMapping. */
  readonly explicit?: number;
  readonly noMapping?: number;
  readonly noAny?: number;
  readonly isSelfIssued?: boolean;
  /** Extensions whose value is no DER. */
  readonly malformed?: readonly (keyof typeof pathExtensionIds)[];
}

function certificate({
  policies,
  mappings,
  explicit,
  noMapping,
  noAny,
  isSelfIssued = false,
  malformed = [],
}: Written): PathCertificate {
  const extensions = new Map<string, { isCritical: boolean; value: Uint8Array }>();
  const put = (name: keyof typeof pathExtensionIds, value: Uint8Array) =>
    extensions.set(pathExtensionIds[name], { isCritical: true, value });
  if (policies !== undefined) {
    put('certificatePolicies', sequence(...policies.map((id) => sequence(identifier(id)))));
  }
  if (mappings !== undefined) {
    put('policyMappings', sequence(...mappings.map((pair) => sequence(...pair.map(identifier)))));
  }
  const constraints = [explicit, noMapping].flatMap((count, at) =>
    count === undefined ? [] : [der(0x80 + at, Buffer.from([count]))],
  );
  if (constraints.length > 0) {
    put('policyConstraints', sequence(...constraints));
  }
  if (noAny !== undefined) {
    put('inhibitAnyPolicy', integer(noAny));
  }
  for (const name of malformed) {
    put(name, Buffer.from([0x30]));
  }
  return { issuerName: 'a', subjectName: isSelfIssued ? 'a' : 'b', extensions } as never;
}

/** `valid`, or why the path is refused. */
function outcome(...path: readonly Written[]): string {
  const valid = new ValidPolicies(path.length);
  for (const [at, written] of path.entries()) {
    const why =
      at === path.length - 1
        ? valid.processLast(certificate(written))
        : valid.processIntermediate(certificate(written));
    if (why !== undefined) {
      return why;
    }
  }
  return 'valid';
}

const missing = 'an authority of its path demands a policy that the path does not have';

describe('a path whose authorities demand no policy is valid', () => {
  it.each<[string, readonly Written[]]>([
    ['without policies', [{}, {}, {}]],
    ['with policies that do not chain', [{ policies: [gold] }, { policies: [silver] }]],
    ['with a demand that begins after its end', [{ explicit: 5 }, {}, {}]],
    ['with a demand of its last certificate for those behind it', [{}, { explicit: 1 }]],
  ])('%s', (_, path) => {
    expect(outcome(...path)).toBe('valid');
  });
});

describe('where an authority demands a policy, a path is valid', () => {
  const demand = { explicit: 0 };
  it.each<[string, readonly Written[]]>([
    ['with one policy all along', [{ ...demand, policies: [gold] }, { policies: [gold] }]],
    ['with one of several', [{ ...demand, policies: [gold, silver] }, { policies: [silver] }]],
    ['with anyPolicy of the authority', [{ ...demand, policies: [any] }, { policies: [gold] }]],
    ['with anyPolicy of the client', [{ ...demand, policies: [gold] }, { policies: [any] }]],
    ['with anyPolicy all along', [{ ...demand, policies: [any] }, { policies: [any] }, { policies: [any] }]],
    [
      'with a policy that is mapped',
      [{ ...demand, policies: [gold], mappings: [[gold, silver]] }, { policies: [silver] }],
    ],
    [
      'with a policy that anyPolicy stands for and that is mapped',
      [{ ...demand, policies: [any], mappings: [[gold, silver]] }, { policies: [silver] }],
    ],
    [
      'with one of two that a policy is mapped to',
      [
        {
          ...demand,
          policies: [gold],
          mappings: [
            [gold, silver],
            [gold, '1.2.3'],
          ],
        },
        { policies: ['1.2.3'] },
      ],
    ],
    [
      'with a mapping within the number of certificates that may map',
      [
        { ...demand, policies: [gold], noMapping: 1 },
        { policies: [gold], mappings: [[gold, silver]] },
        { policies: [silver] },
      ],
    ],
    [
      'with anyPolicy within the number of certificates that may use it',
      [{ ...demand, policies: [gold], noAny: 1 }, { policies: [any] }, { policies: [gold] }],
    ],
    [
      'with anyPolicy of a self-issued authority, which always counts',
      [
        { ...demand, policies: [gold], noAny: 0 },
        { policies: [any], isSelfIssued: true },
        { policies: [gold] },
      ],
    ],
    [
      'with self-issued authorities, which count for no number',
      [{ policies: [gold], explicit: 2 }, { isSelfIssued: true }, { isSelfIssued: true }, {}],
    ],
  ])('%s', (_, path) => {
    expect(outcome(...path)).toBe('valid');
  });
});

describe('where an authority demands a policy, a path is refused', () => {
  const demand = { explicit: 0 };
  it.each<[string, readonly Written[]]>([
    ['without any', [demand, {}]],
    ['that ends without one', [{ ...demand, policies: [gold] }, {}]],
    ['that begins without one', [demand, { policies: [gold] }]],
    ['with another policy of the client', [{ ...demand, policies: [gold] }, { policies: [silver] }]],
    ['with a gap', [{ ...demand, policies: [gold] }, {}, { policies: [gold] }]],
    [
      'that changes on the way',
      [{ ...demand, policies: [gold] }, { policies: [silver] }, { policies: [gold] }],
    ],
    ['with a demand that begins two certificates later', [{ explicit: 2 }, {}, {}]],
    ['with a demand that begins at its last certificate', [{ explicit: 1 }, {}]],
    ['with a demand of its last certificate alone', [{}, { explicit: 0 }]],
    [
      'with a demand that a later authority would put off',
      [{ explicit: 1, policies: [gold] }, { explicit: 9, policies: [gold] }, {}],
    ],
    [
      'with the policy that was mapped, in place of what it is mapped to',
      [{ ...demand, policies: [gold], mappings: [[gold, silver]] }, { policies: [gold] }],
    ],
    [
      'with a mapping of a policy that the path does not have',
      [{ ...demand, policies: [gold], mappings: [['1.2.3', silver]] }, { policies: [silver] }],
    ],
    [
      'with a mapping where none counts any more',
      [
        { ...demand, policies: [gold], noMapping: 0 },
        { policies: [gold], mappings: [[gold, silver]] },
        { policies: [silver] },
      ],
    ],
    [
      'with the policy of a mapping that does not count',
      [
        { ...demand, policies: [gold], noMapping: 0 },
        { policies: [gold], mappings: [[gold, silver]] },
        { policies: [gold] },
      ],
    ],
    [
      'with a mapping behind the number of certificates that may map',
      [
        { ...demand, policies: [gold], noMapping: 1 },
        { policies: [gold] },
        { policies: [gold], mappings: [[gold, silver]] },
        { policies: [silver] },
      ],
    ],
    [
      'with a mapping that a later authority would allow again',
      [
        { ...demand, policies: [gold], noMapping: 0 },
        { policies: [gold], noMapping: 9 },
        { policies: [gold], mappings: [[gold, silver]] },
        { policies: [silver] },
      ],
    ],
    [
      'with anyPolicy where it does not count any more',
      [{ ...demand, policies: [gold], noAny: 0 }, { policies: [any] }],
    ],
    [
      'with anyPolicy behind the number of certificates that may use it',
      [{ ...demand, policies: [gold], noAny: 1 }, { policies: [gold] }, { policies: [any] }],
    ],
    [
      'with anyPolicy that a later authority would allow again',
      [{ ...demand, policies: [gold], noAny: 0 }, { policies: [gold], noAny: 9 }, { policies: [any] }],
    ],
    [
      'with anyPolicy of a client that issued its certificate to itself',
      [
        { ...demand, policies: [gold], noAny: 0 },
        { policies: [any], isSelfIssued: true },
      ],
    ],
  ])('%s', (_, path) => {
    expect(outcome(...path)).toBe(missing);
  });
});

describe('a path is refused, whatever its authorities demand,', () => {
  it.each<[string, readonly Written[], string]>([
    [
      'with policies that can not be read',
      [{ malformed: ['certificatePolicies'] }, {}],
      'its policies can not',
    ],
    [
      'with such policies of the client',
      [{}, { malformed: ['certificatePolicies'] }],
      'its policies can not',
    ],
    ...(['policyMappings', 'policyConstraints', 'inhibitAnyPolicy'] as const).map(
      (name): [string, readonly Written[], string] => [
        `with ${name} that can not be read`,
        [{ malformed: [name] }, {}],
        'its policy constraints or mappings can not be read',
      ],
    ),
    [
      'with such constraints of the client',
      [{}, { malformed: ['policyConstraints'] }],
      'its policy constraints can not be read',
    ],
    ['with a mapping of anyPolicy', [{ policies: [any], mappings: [[any, gold]] }, {}], 'it maps anyPolicy'],
    ['with a mapping to anyPolicy', [{ policies: [gold], mappings: [[gold, any]] }, {}], 'it maps anyPolicy'],
  ])('%s', (_, path, why) => {
    expect(outcome(...path)).toContain(why);
  });
});

it('a client alone below its anchor may need no policy', () => {
  expect([outcome({}), outcome({ explicit: 0 }), outcome({ explicit: 0, policies: [gold] })]).toEqual([
    'valid',
    missing,
    'valid',
  ]);
});

it('the policies and mappings that are gone through are counted, those above a certificate too', () => {
  const valid = new ValidPolicies(3);
  const above = certificate({
    policies: [any, gold],
    mappings: [
      [gold, silver],
      [gold, '1.2.3'],
      [silver, silver],
    ],
  });
  expect(valid.countItems(certificate({}))).toBe(0);
  // A path begins with anyPolicy.
  expect(valid.countItems(above)).toBe(1 + 2 + 3);
  expect(valid.processIntermediate(above)).toBeUndefined();
  // anyPolicy, two for gold and one for silver.
  expect(valid.countItems(certificate({ policies: [any] }))).toBe(4 + 1);
  expect(valid.countItems(certificate({ malformed: ['policyMappings'] }))).toBe(0);
});
