// What a cached token costs: heap per token for claims as authorization servers send them, and what our own estimate
// (`cache.maxSize`) says.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { sizeOf, TokenCache } from '../packages/core/src/cache/token-cache.js';
import { Revocations } from '../packages/core/src/revocation/revocations.js';
import { readTokenClaims, type TokenClaims } from '../packages/core/src/token/token-claims.js';
import { closeScenario } from './harness/close.js';
import { progress, progressEnds } from './harness/progress.js';
import { type Ratio, ratioOf, type Summary, summaryOf } from './harness/record.js';
import { isQuick } from './harness/settings.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const tokens = isQuick ? 1_000 : 100_000;
const rounds = isQuick ? 1 : 5;
const issuer = 'https://as.example.com';
const now = Math.floor(Date.now() / 1000);

const hex = (i: number, length: number) => i.toString(16).padStart(length, '0');
/** As text, for the strings of a parsed answer are its own. */
const answers: Record<string, (i: number) => string> = {
  typical: (i) =>
    JSON.stringify({
      active: true,
      iss: issuer,
      sub: `user-${hex(i, 8)}`,
      client_id: 'tpp-4711',
      aud: 'https://api.example.com',
      scope: 'openid accounts:read payments:write',
      token_type: 'Bearer',
      iat: now,
      exp: now + 3_600,
      jti: hex(i, 32),
      cnf: { 'x5t#S256': hex(i, 43) },
    }),
  small: (i) => JSON.stringify({ active: true, exp: now + 3_600, cnf: { 'x5t#S256': hex(i, 43) } }),
  large: (i) =>
    JSON.stringify({
      active: true,
      iss: issuer,
      sub: hex(i, 36),
      client_id: hex(i, 36),
      aud: ['https://api.example.com', 'https://other.example.com'],
      scope: 'openid profile email accounts:read accounts:write payments:read payments:write',
      exp: now + 3_600,
      iat: now,
      jti: hex(i, 36),
      authorization_details: Array.from({ length: 4 }, (_, n) => ({
        type: 'account_information',
        actions: ['list_accounts', 'read_balances', 'read_transactions'],
        locations: [`https://api.example.com/accounts/${hex(i, 12)}${n}`],
      })),
      cnf: { 'x5t#S256': hex(i, 43) },
    }),
};

function heap(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

async function bytesPerToken(
  text: (i: number) => string,
): Promise<{ heap: number; estimate: number; text: number }> {
  const before = heap();
  const cache = new TokenCache(
    {
      maxAge: 3_600,
      maxEntries: tokens,
      maxSize: Number.MAX_SAFE_INTEGER,
      rejectionMaxAge: 5,
      refreshAhead: 0,
      staleIfError: 0,
    },
    new Revocations({
      longestUse: 60,
      maxAgeWhileUnsynced: 5,
      clockTolerance: 30,
      syncedBy: 'alone',
      maxWait: 2,
      acceptsUnknownRevocation: false,
    }),
  );
  let estimate = 0;
  for (let i = 0; i < tokens; i += 1) {
    const tokenClaims = readTokenClaims(JSON.parse(text(i)), issuer) as TokenClaims;
    estimate += sizeOf({ tokenClaims });
    await cache.readThrough(hex(i, 40), {
      id: '',
      sharedId: '',
      readIntrospects: true,
      isIntrospected: () => true,
      read: async () => tokenClaims,
    });
  }
  const after = heap();
  await cache.settleReadings();
  return { heap: (after - before) / tokens, estimate: estimate / tokens, text: text(0).length };
}

const contestants: Record<string, Summary> = {};
const ratios: Record<string, Ratio> = {};
for (const [name, text] of Object.entries(answers)) {
  const measured: Awaited<ReturnType<typeof bytesPerToken>>[] = [];
  for (let round = 0; round < rounds; round += 1) {
    progress(`token-size, ${name}, round ${round + 1} of ${rounds}`);
    measured.push(await bytesPerToken(text));
  }
  const heaps = measured.map((one) => one.heap);
  contestants[`${name}, ${measured[0]?.text} characters of JSON`] = summaryOf(heaps);
  // An estimate below the truth would let the cache outgrow its bound.
  const estimates = measured.map((one) => one.estimate);
  ratios[`estimate / heap, ${name}`] = ratioOf(estimates, heaps, { min: 0.9, max: 2.5 });
  if (name === 'typical') {
    const kilobyte = heaps.map(() => 1_000);
    ratios['heap of a typical token / 1,000 bytes'] = ratioOf(heaps, kilobyte, { max: 1 });
  }
}
progressEnds();
closeScenario({
  scenario: 'token-size',
  unit: 'bytes of heap per cached token',
  rounds,
  contestants,
  ratios,
});
