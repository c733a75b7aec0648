/**
 * Names of the client that causes a request to an authorization server: its certificate, its address.
 * Empty for a request that no client caused. Clients that share a name count as one client where they
 * could be one.
 */
export type ClientNames = readonly string[];
