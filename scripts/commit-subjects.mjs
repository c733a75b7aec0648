// Checks the subjects of this branch's commits: `fix(core): reject ...`, at most 72 characters. A whole area needs no
// scope: `docs: ...`. Commits that are on main already, merges and those of bots are not checked.
import { spawnSync } from 'node:child_process';

const LONGEST = 72;
const form =
  /^(?:(?:build|chore|feat|fix|perf|refactor|style|test)\([a-z0-9-]+(?:, ?[a-z0-9-]+)*\)|(?:bench|build|chore|ci|docs|refactor|revert|style|test)(?:\([a-z0-9-]+\))?)!?: \S/;

const git = (...args) => spawnSync('git', args, { encoding: 'utf8' });
const main = ['origin/main', 'main'].find(
  (name) => git('rev-parse', '--verify', '--quiet', name).status === 0,
);
if (main === undefined) {
  console.log('no commit subjects checked: there is no main to compare with');
} else {
  const { stdout } = git('log', '--no-merges', '--format=%h%x09%an%x09%s', `${main}..HEAD`);
  for (const line of stdout.split('\n').filter(Boolean)) {
    const [hash, author, subject = ''] = line.split('\t');
    if (!author?.endsWith('[bot]') && (subject.length > LONGEST || !form.test(subject))) {
      console.error(
        `${hash}: expected a subject like "fix(core): reject ..." of at most ${LONGEST} characters, got ` +
          `${subject.length}: ${subject}`,
      );
      process.exitCode = 1;
    }
  }
}
