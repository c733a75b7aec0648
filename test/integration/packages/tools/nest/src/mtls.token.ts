export const MTLS = Symbol('mtlsBound()');
