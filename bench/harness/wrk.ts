import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pinned } from './cores.js';
import type { Load, Loaded } from './load.js';

const run = promisify(execFile);

/** https://github.com/wg/wrk, with the requests in a script of its own. */
export async function wrk({ url, headers, numbers, connections, seconds }: Load): Promise<Loaded> {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-wrk-'));
  try {
    const script = join(folder, 'requests.lua');
    writeFileSync(script, scriptFor(new URL(url), headers, numbers));
    const [program, ...args] = pinned('load', [
      'wrk',
      ...['-t', '1', '-c', String(connections), '-d', `${Math.ceil(seconds)}s`, '-s', script, url],
    ]);
    const { stdout } = await run(program, args);
    const said = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
    const latency = /Latency\s+([\d.]+)(us|ms|s)/.exec(stdout);
    if (/Non-2xx|Socket errors/.test(stdout) || latency === null) {
      throw new Error(`not every request was answered 200:\n${stdout}`);
    }
    const unit = { us: 0.001, ms: 1, s: 1000 }[latency[2] as 'us' | 'ms' | 's'];
    return {
      requestsPerSecond: said(/Requests\/sec:\s+([\d.]+)/),
      latency: Number(latency[1]) * unit,
      requests: said(/(\d+) requests in/),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function scriptFor({ pathname, host }: URL, headers: Load['headers'], numbers: Load['numbers']): string {
  const requests = headers.map((each) => {
    const lines = Object.entries({ Host: host, ...each }).map(([name, value]) => `${name}: ${value}`);
    return `[[GET ${pathname} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n]]`;
  });
  // Lua takes a line end within brackets for a line feed, whatever it was.
  return `local requests = {${requests.map((text) => text.replaceAll('\r\n', '\n')).join(',\n')}}
for i, text in ipairs(requests) do requests[i] = text:gsub("\\n", "\\r\\n") end
local i = 0
math.randomseed(os.time())
request = function()
  i = i % #requests + 1
  return ${numbers === undefined ? 'requests[i]' : `(requests[i]:gsub("{number}", string.format("%08d", math.random(0, ${numbers - 1}))))`}
end
`;
}
