// The tests that mutants are tried against: those that take milliseconds, the quickest files first, since the first test
// that fails ends a try. What needs real programs or waits for seconds is not among them.
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import usual from '../../vitest.config.js';

const slow =
  /token-cache|flood-guard|route-policies|decoders|xfcc|revocation-endpoint|profile|headers|events/;

class QuickestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => (slow.test(moduleId) ? 1 : 0);
    return files.toSorted((a, b) => rank(a) - rank(b));
  }
}

export default {
  ...usual,
  test: {
    ...usual.test,
    include: [
      'test/{binding,cache,certificate,fapi,options,policies,request}/**/*.test.ts',
      'test/answers/{challenge,resource-metadata}.test.ts',
      'test/proxies/{decoders,encodings,presets,proxy-header,xfcc}.test.ts',
      'test/fleet/revocation-endpoint.test.ts',
      'test/observe/{events,explanation}.test.ts',
    ],
    // Few values for each property: the fuzzing itself is done elsewhere.
    env: { FUZZ: '0.005', MUTATION: '1' },
    testTimeout: 15_000,
    isolate: false,
    sequence: { sequencer: QuickestFirst },
    reporters: ['default'],
  },
};
