import { RequestRefused } from '../errors.js';
import { createLazyModule } from '../shared/lazy-module.js';

/** The libraries that parse certificates. Policies that look into a certificate need them, no other. */
export const x509 = createLazyModule('@peculiar/x509', async () => {
  // In a bundle of Bun the library's own import of it runs too late.
  await import(/* webpackMode: "eager" */ 'reflect-metadata');
  return import(/* webpackMode: "eager" */ './x509-library.js');
});

/**
 * Returns the libraries for code that can't wait: its caller has waited for `x509.load()`. Throws
 * `RequestRefused` if they are not loaded.
 */
export function x509Library(): typeof import('./x509-library.js') {
  const library = x509.loaded();
  if (library === undefined) {
    throw new RequestRefused('internal_error', {
      detail: 'a certificate was looked into before @peculiar/x509 was loaded',
    });
  }
  return library;
}
