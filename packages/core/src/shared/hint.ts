/** The likely cause of a refusal. */
export interface Hint {
  /** Stable: what programs compare. */
  readonly code: string;
  /** The cause, and how to fix it. */
  readonly text: string;
}
