// Drops the warnings of oidc-provider about its development settings. They do not matter for the demonstration.
console.info = console.warn = () => undefined;
