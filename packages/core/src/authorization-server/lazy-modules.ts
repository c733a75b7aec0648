// Packages that a process needs only when it speaks to an authorization server or verifies a JWT.
// Each `import()` has a literal name, so that bundlers see it.
import { createLazyModule } from '../shared/lazy-module.js';

/** Not needed with the option `http.fetch`. */
export const nodeFetch = createLazyModule(
  'node-fetch',
  () => import(/* webpackMode: "eager" */ 'node-fetch'),
);

/** Needed for JWTs alone: access tokens, signed introspection answers, security events. */
export const jose = createLazyModule('jose', () => import(/* webpackMode: "eager" */ 'jose'));
