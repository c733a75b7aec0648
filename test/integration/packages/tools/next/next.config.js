// By default Next bundles no dependency of a page under pages/.
export default { bundlePagesRouterDependencies: true };
