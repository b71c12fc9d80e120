// Reads a report of Vitest (JSON) and prints what failed in it: `files`, one path a line, or `names`, each test with the head of its message.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const [what, path] = process.argv.slice(2);
const MESSAGE_LINES = 6;

let suites = [];
try {
  suites = JSON.parse(readFileSync(path, 'utf8')).testResults.filter((suite) => suite.status === 'failed');
} catch {
  // No report: the run ended before it wrote one, and says itself why.
}

for (const suite of suites) {
  const file = relative(process.cwd(), suite.name);
  if (what === 'files') {
    console.log(file);
    continue;
  }
  const tests = suite.assertionResults.filter((test) => test.status === 'failed');
  for (const test of tests) {
    console.log(`${file}: ${test.fullName}`);
    console.log(head(test.failureMessages.join('\n')));
  }
  if (tests.length === 0) {
    console.log(`${file}: could not be run`);
    console.log(head(suite.message ?? ''));
  }
}

function head(message) {
  return message
    .split('\n')
    .slice(0, MESSAGE_LINES)
    .map((line) => `    ${line.slice(0, 300)}`)
    .join('\n');
}
