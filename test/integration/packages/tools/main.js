// What is bundled, as an ES module.
import { checkApis } from './checks.js';

checkApis().then(() => process.stdout.write('ok'));
