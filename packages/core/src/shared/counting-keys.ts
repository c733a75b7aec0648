/**
 * The keys by which a client is counted that causes a request to an authorization server: the thumbprint of
 * its certificate, its address. Empty for a request that no client caused. Clients that share a key count as
 * one client where they could be one.
 */
export type CountingKeys = readonly string[];
