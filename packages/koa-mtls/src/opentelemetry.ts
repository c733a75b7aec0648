export * from '@mtls-bound/core/opentelemetry';
