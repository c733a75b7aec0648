// The tests that mutants are tried against: those that take milliseconds. What needs real programs, or many seconds, is not among them.
import { defineConfig } from 'vitest/config';
import usual from '../../vitest.config.js';

export default defineConfig({
  ...usual,
  test: {
    ...usual.test,
    include: [
      'test/{answers,binding,cache,certificate,fapi,options,policies,request}/**/*.test.ts',
      'test/proxies/{decoders,encodings,presets,proxy-header,xfcc}.test.ts',
      'test/fleet/revocation-endpoint.test.ts',
      'test/observe/{events,explanation}.test.ts',
    ],
    reporters: ['default'],
  },
});
