/**
 * Returns whether `NODE_ENV` says that the process serves real clients: `production` or `prod` in any
 * case, also with blanks around it.
 */
export function isProduction({ NODE_ENV = '' }: NodeJS.ProcessEnv): boolean {
  return ['production', 'prod'].includes(NODE_ENV.trim().toLowerCase());
}
