export * from '@mtls-bound/core/testing';
