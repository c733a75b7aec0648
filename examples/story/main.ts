// The demonstration of `npm start`, on one machine: a real authorization server, an Express API and a Koa API over mutual
// TLS, an honest client and attackers. With `--serve` it keeps the servers running and prints curl commands.
import './quiet.js';
import { printTable } from '../table.js';
import { startStory } from './cast.js';
import { printCurlCommands } from './curl.js';
import { scenes } from './scenes.js';

const story = await startStory();
try {
  if (process.argv.includes('--serve')) {
    await printCurlCommands(story);
    await new Promise((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve));
  } else {
    const outcomes = [];
    for (const scene of scenes) {
      outcomes.push(await scene(story));
    }
    process.exitCode = printTable(outcomes) ? 0 : 1;
  }
} finally {
  await story.end();
}
