/** The likely cause of a refusal. */
export interface Hint {
  /** Stable: what programs compare. */
  readonly code: string;
  /** Which condition is not met, where the code stands for several: a code too. Default: none. */
  readonly reason?: string;
  /** The cause, and how to fix it. */
  readonly text: string;
}
