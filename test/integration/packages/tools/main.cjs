// What is bundled, as CommonJS that requires what other modules import: a bundle must hold one copy of it.
const { mtlsBound } = require('express-mtls');
const { checkApis, mtlsBound: imported } = require('./checks.js');

if (mtlsBound !== imported) {
  throw new Error('the bundle holds two copies of express-mtls');
}
checkApis().then(() => process.stdout.write('ok'));
