// The unit tests that Stryker tries the mutants of one folder against: those of the folder's subject. Tests
// of sheer length and of many random steps are left out, since each mutant would wait for them.
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import usual from '../../vitest.config.js';

const tests: Readonly<Record<string, readonly string[]>> = {
  policy: ['binding/*', 'policies/*', 'certificate/route-certificate', 'fapi/*'],
  response: ['answers/*', 'observe/explanation'],
  request: ['request/*', 'dpop/dpop-check', 'streams/*'],
  token: [
    'token/*',
    'binding/*',
    'policies/registered-claims',
    'cache/{token-hash,recurring,deep-claims}',
    'introspection/numeric-names',
    'jwt/{thumbprint-claim,causes}',
  ],
  certificate: [
    'certificate/*',
    'proxies/{encodings,hand-made-presets,presets,decoders,xfcc,xfcc-forgery,xfcc-json}',
    'proxies/secret-comparison',
    'memories/certificates',
    'fapi/*',
  ],
  chain: ['chain/*', 'observe/chain-hints'],
  'certificate-status': ['certificate-status/*'],
  'certificate-policy': [
    'certificate-policy/*',
    'certificate/{names,route-certificate,other-copy}',
    'policies/{registered-claims,requirements,route-clock-tolerance}',
    'observe/chain-hints',
    'memories/certificates',
  ],
  cache: ['cache/{token-cache,shared-cache,rejection-times,token-hash}', 'memories/close'],
  revocation: ['cache/*', 'memories/revocations', 'observe/revocations', 'request/revocation-request'],
  confirmation: ['binding/*', 'dpop/*'],
  dpop: ['dpop/*'],
  root: [
    'answers/*',
    'authorization-servers/ready-revocations',
    'binding/*',
    'cache/{usability,long-cached-revocation}',
    'certificate/{own-source,route-certificate,other-copy}',
    'chain/{revoked-while-waiting,requests-without-certificate,checked-again}',
    'dpop/{accepted-requests,checked-again,dpop-check,indistinct-clients,reported-type}',
    'fapi/*',
    'fleet/*',
    'handlers/told',
    'introspection/*',
    'issuers/*',
    'memories/close',
    'observe/{dpop-hints,explanation,failing-observers,request-events}',
    'outage/{counted-requests,limited-http,flood-guard,stale-answers}',
    'policies/{authorization-object,awaited-policies,ended-while-waiting,own-authorization}',
    'policies/{registered-claims,requirements,route-clock-tolerance}',
    'proxies/proxy-recognition',
    'request/untouched-headers',
    'streams/*',
  ],
};
const { MUTATED_FOLDER: folder } = process.env;
/** The tests of the files at the root of core: they are in several folders. */
const ofRoot =
  /accepted-requests|awaited-policies|own-authorization|authorization-object|own-source|request-events|counted-requests|told|ended-while-waiting/;
const slow =
  /near-misses|decoders|xfcc|places|memories|causes|numeric|observe.revocations|thumbprint-claim|stale-answers/;

/**
 * Runs the files that bear the name of the folder first, and the slowest last: the first test that
 * fails ends the try of a mutant, and further files are not even loaded.
 */
class LikeliestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLikely = (path: string): boolean =>
      folder === 'root' ? ofRoot.test(path) : path.includes(`/unit/${folder}/`);
    const rank = ({ moduleId }: TestSpecification): number =>
      slow.test(moduleId) ? 2 : isLikely(moduleId) ? 0 : 1;
    return files.toSorted((a, b) => rank(a) - rank(b));
  }
}

const { projects: _, ...rules } = usual.test ?? {};

export default {
  ...usual,
  test: {
    ...rules,
    include: Object.entries(tests).flatMap(([name, files]) =>
      folder === undefined || folder === name ? files.map((file) => `test/unit/${file}.test.ts`) : [],
    ),
    exclude: [
      '**/long-values.test.ts',
      '**/many-*.test.ts',
      '**/large-list.test.ts',
      '**/revocation-model.test.ts',
    ],
    // A few values for each property: `npm run fuzz` tries many.
    env: { FUZZ: '0.005' },
    testTimeout: 8_000,
    isolate: false,
    sequence: { sequencer: LikeliestFirst },
    reporters: ['default'],
  },
};
