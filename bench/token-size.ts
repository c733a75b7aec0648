// What a cached token costs: heap per token for claims as authorization servers send them, and what our own estimate
// (`cache.maxSize`) says. Run with --expose-gc: `npm run bench token-size` does.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Revocations } from '../packages/core/src/cache/revocations.js';
import { sizeOf, TokenCache } from '../packages/core/src/cache/token-cache.js';
import { readTokenClaims, type TokenClaims } from '../packages/core/src/token-claims.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const tokens = 100_000;
const rounds = 5;
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
      inactiveMaxAge: 5,
      refreshAhead: 0,
      staleIfError: 0,
    },
    new Revocations({ maxAge: 60, maxAgeWhileLost: 5 }),
  );
  let estimate = 0;
  for (let i = 0; i < tokens; i += 1) {
    const token = readTokenClaims(JSON.parse(text(i)), issuer) as TokenClaims;
    estimate += sizeOf({ token });
    await cache.learn(hex(i, 40), { id: '', sharedId: '', isServer: true, read: async () => token });
  }
  const after = heap();
  await cache.settled();
  return { heap: (after - before) / tokens, estimate: estimate / tokens, text: text(0).length };
}

const summary = (values: number[]) => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (i: number) => Number((sorted[i] ?? Number.NaN).toFixed(3));
  return { median: at(Math.floor(sorted.length / 2)), min: at(0), max: at(sorted.length - 1) };
};
const contestants: Record<string, object> = {};
const ratios: Record<string, object> = {};
for (const [name, text] of Object.entries(answers)) {
  const measured = [];
  for (let round = 0; round < rounds; round += 1) {
    measured.push(await bytesPerToken(text));
  }
  contestants[`${name}, ${measured[0]?.text} characters of JSON`] = summary(measured.map((one) => one.heap));
  // An estimate below the truth would let the cache outgrow its bound.
  ratios[`estimate / heap, ${name}`] = {
    ...summary(measured.map((one) => one.estimate / one.heap)),
    goal: { min: 0.9, max: 2.5 },
  };
}
const record = {
  scenario: 'token-size',
  unit: 'bytes of heap per cached token',
  machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  tokens,
  rounds,
  contestants,
  ratios,
};
mkdirSync(new URL('results/', import.meta.url), { recursive: true });
writeFileSync(new URL('results/token-size.json', import.meta.url), `${JSON.stringify(record, null, 2)}\n`);
console.log(JSON.stringify(record, null, 2));
