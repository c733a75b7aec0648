/** Readings of files that run at once: half of the four threads of Node for files, DNS and cryptography. */
const MAX_READINGS = 2;

/** The place of one reading. */
export interface ReadingPlace {
  /** Resolves when the reading may begin. */
  readonly granted: Promise<void>;
  /** The reading has ended, however late. */
  release(): void;
  /** The reading is not waited for any more. Returns whether it had not begun: it never begins then. */
  giveUp(): boolean;
}

interface Reading {
  readonly begin: () => void;
  isGivenUp: boolean;
}

const running = new Set<Reading>();
const waiting = new Set<Reading>();

/**
 * Returns a place for a reading, `undefined` if all are held by readings that were given up: a file system
 * does not answer, and waiting would be in vain. Each of them holds a thread, and its place until it ends.
 */
export function requestPlace(): ReadingPlace | undefined {
  if (running.size >= MAX_READINGS && [...running].every(({ isGivenUp }) => isGivenUp)) {
    return undefined;
  }
  let begin = (): void => undefined;
  const granted = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const reading: Reading = { begin, isGivenUp: false };
  waiting.add(reading);
  grantPlaces();
  return {
    granted,
    release() {
      running.delete(reading);
      grantPlaces();
    },
    giveUp() {
      reading.isGivenUp = true;
      return waiting.delete(reading);
    },
  };
}

function grantPlaces(): void {
  for (const reading of waiting) {
    if (running.size >= MAX_READINGS) {
      return;
    }
    waiting.delete(reading);
    running.add(reading);
    reading.begin();
  }
}
