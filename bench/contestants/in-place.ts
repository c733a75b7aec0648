/** The last calls of a function, timed one by one: of many, the median does not see the interrupted ones. */
const calls = new Float64Array(20_000);
let count = 0;

/** Times each call of a function that answers at once. Calls that return a promise do not count. */
export function timed<Given, Result>(call: (given: Given) => Result): (given: Given) => Result {
  return (given) => {
    const start = performance.now();
    const result = call(given);
    const taken = performance.now() - start;
    if (!(result instanceof Promise)) {
      calls[count % calls.length] = taken;
      count += 1;
    }
    return result;
  };
}

/** Returns the median in nanoseconds, and begins again. */
export function nanosecondsInPlace(): number {
  const all = calls.slice(0, Math.min(count, calls.length)).sort();
  count = 0;
  return (all[Math.floor((all.length - 1) / 2)] ?? Number.NaN) * 1e6;
}
