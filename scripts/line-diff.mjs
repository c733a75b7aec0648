/**
 * Returns the lines in which a configuration differs from another one, as a page shows them: lines that begin with `-` are
 * replaced by those that begin with `+`, behind the line that stays before them. Comments at the beginning of the files do not
 * count.
 */
export function differingLines(from, to) {
  const before = body(from);
  const after = body(to);
  // common[i][j]: how many lines the rests of both files have in common.
  const common = Array.from({ length: before.length + 1 }, () => new Array(after.length + 1).fill(0));
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      common[i][j] =
        before[i] === after[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const shown = [];
  let isDiffering = false;
  let i = 0;
  let j = 0;
  while (i < before.length || j < after.length) {
    if (i < before.length && before[i] === after[j]) {
      isDiffering = false;
      i += 1;
      j += 1;
      continue;
    }
    if (!isDiffering && i > 0) {
      shown.push(` ${before[i - 1]}`);
    }
    isDiffering = true;
    if (i < before.length && (j === after.length || common[i + 1][j] >= common[i][j + 1])) {
      shown.push(`-${before[i]}`);
      i += 1;
    } else {
      shown.push(`+${after[j]}`);
      j += 1;
    }
  }
  return shown.map((line) => line.trimEnd()).join('\n');
}

function body(text) {
  const lines = text.trimEnd().split('\n');
  return lines.slice(lines.findIndex((line) => !line.startsWith('#')));
}
