/** What one check found out. */
export interface Finding {
  /**
   * `ok`; `problem`: requests that should pass don't, or the other way round; `warning`: it will,
   * or may, become one.
   */
  readonly status: 'ok' | 'warning' | 'problem';
  /** Stable: what a script filters on. */
  readonly code: string;
  readonly message: string;
  /** What to do about it, unless it is `ok`. */
  readonly fix?: string;
  /** `x5t#S256` of the certificate that was read, where the finding is about one. */
  readonly thumbprint?: string;
}

export function ok(code: string, message: string): Finding {
  return { status: 'ok', code, message };
}

export function warning(code: string, message: string, fix: string): Finding {
  return { status: 'warning', code, message, fix };
}

export function problem(code: string, message: string, fix: string): Finding {
  return { status: 'problem', code, message, fix };
}
