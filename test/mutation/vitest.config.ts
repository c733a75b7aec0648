// The tests that the mutants of a room are tried against: those that are about it and take milliseconds, the quickest files
// first, since the first test that fails ends a try. What needs real programs or waits for seconds is not among them.
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import usual from '../../vitest.config.js';

const tests: Readonly<Record<string, readonly string[]>> = {
  policy: ['binding/*', 'policies/*', 'options/*', 'fapi/profile', 'fapi/tls'],
  response: ['answers/{challenge,resource-metadata}', 'policies/route-policies', 'fapi/headers', 'options/*'],
  request: ['request/*', 'fapi/headers', 'fleet/revocation-endpoint', 'issuers/issuers', 'options/*'],
  cache: ['cache/*', 'fleet/{revocation-endpoint,shared-cache}'],
  certificate: [
    'certificate/*',
    'proxies/{decoders,encodings,presets,proxy-header,xfcc}',
    'policies/{route-policies,national-profiles}',
    'fapi/{profile,tls}',
    'observe/explanation',
    'options/*',
  ],
};
const { MUTATED_ROOM: room } = process.env;
const slow =
  /token-cache|cached-answers|flood-guard|route-policies|shared-cache|decoders|xfcc|endpoint|profile|headers/;

class QuickestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => (slow.test(moduleId) ? 1 : 0);
    return files.toSorted((a, b) => rank(a) - rank(b));
  }
}

const { projects: _, ...rules } = usual.test ?? {};

export default {
  ...usual,
  test: {
    ...rules,
    include: Object.entries(tests).flatMap(([name, files]) =>
      room === undefined || room === name
        ? files.map((file) => `test/{unit,integration}/${file}.test.ts`)
        : [],
    ),
    // Few values for each property: the fuzzing itself is done elsewhere.
    env: { FUZZ: '0.005', MUTATION: '1' },
    testTimeout: 8_000,
    isolate: false,
    sequence: { sequencer: QuickestFirst },
    reporters: ['default'],
  },
};
