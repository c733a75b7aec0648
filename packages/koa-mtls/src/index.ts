export * from '@mtls-bound/core/adapter-exports';
export * from './guarded.js';
export * from './middleware.js';
export type * from './types.js';
