/** One line that is written over on a terminal, a line each elsewhere. */
export function progress(text: string): void {
  if (process.stdout.isTTY) {
    process.stdout.write(`\r\u001b[K${text}`);
  } else {
    console.log(text);
  }
}

export function progressEnds(): void {
  if (process.stdout.isTTY) {
    process.stdout.write('\r\u001b[K');
  }
}
