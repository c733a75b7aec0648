import { RequestRefused } from '../errors.js';
import { ignoreRejection } from './promises.js';
import { describeError } from './shown-error.js';

/** A module that only some options need. */
export interface LazyModule<Module> {
  /** The module; `undefined` if it is not loaded yet. */
  loaded(): Module | undefined;
  /**
   * Loads the module, once. Rejects with `RequestRefused` if it can't be loaded. The next call then
   * tries again.
   */
  load(): Promise<Module>;
  /** Like `load()`, but returns `undefined` if the module is loaded: there is nothing to wait for. */
  loadUnlessLoaded(): Promise<Module> | undefined;
  /**
   * Loads the module in the background, after the code that runs now. No request waits for it then.
   * Does not keep the process alive.
   */
  preload(): void;
}

/**
 * Makes a `LazyModule`.
 *
 * @param name for the log
 * @param importModule `import()` with a literal name, which bundlers see. The comment `webpackMode:
 * "eager"` in it keeps the module in the bundle's own file.
 */
export function createLazyModule<Module>(
  name: string,
  importModule: () => Promise<Module>,
): LazyModule<Module> {
  let loaded: Module | undefined;
  let loading: Promise<Module> | undefined;

  async function attempt(): Promise<Module> {
    try {
      loaded = await importModule();
      return loaded;
    } catch (error) {
      loading = undefined;
      throw new RequestRefused('internal_error', {
        detail: `the module ${name} can not be loaded: ${describeError(error)}`,
        cause: error,
      });
    }
  }

  function load(): Promise<Module> {
    loading ??= attempt();
    return loading;
  }

  return {
    loaded: () => loaded,
    load,
    loadUnlessLoaded: () => (loaded === undefined ? load() : undefined),
    preload() {
      if (loading === undefined) {
        setImmediate(() => ignoreRejection(load())).unref();
      }
    },
  };
}
