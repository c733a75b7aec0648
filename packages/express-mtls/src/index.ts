export * from '@mtls-bound/core/application-exports';
export * from './guarded.js';
export * from './middleware.js';
export type * from './types.js';
