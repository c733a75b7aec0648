// JEST: babel, swc, ts or esm, which is no transform.
const transforms = {
  babel: {
    js$: [
      'babel-jest',
      {
        configFile: false,
        presets: [['@babel/preset-env', { targets: { node: 'current' }, modules: 'commonjs' }]],
      },
    ],
  },
  swc: { js$: ['@swc/jest', { module: { type: 'commonjs' } }] },
  ts: {
    js$: [
      'ts-jest',
      { isolatedModules: true, tsconfig: { allowJs: true, module: 'commonjs', esModuleInterop: true } },
    ],
  },
  esm: {},
};

module.exports = {
  testEnvironment: 'node',
  testMatch: ['**/runner.test.js'],
  testTimeout: 60_000,
  cache: false,
  transform: transforms[process.env.JEST],
};
