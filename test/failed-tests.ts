/*
 * What failed in a run of the tests, for the end of CI's log: each test with the head of its message.
 *
 *   node --import tsx test/failed-tests.ts <report>   (Vitest's, JSON)
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { JsonTestResults } from 'vitest/node';

const MESSAGE_LINES = 6;
const LINE_LENGTH = 300;

const { testResults } = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as JsonTestResults;
for (const { name, status, message, assertionResults } of testResults) {
  if (status !== 'failed') continue;
  const file = relative(process.cwd(), name);
  const failed = assertionResults.filter((test) => test.status === 'failed');
  for (const { fullName, failureMessages } of failed)
    console.log(`${file}: ${fullName}\n${head(failureMessages?.join('\n') ?? '')}`);
  if (failed.length === 0) console.log(`${file}: could not be run\n${head(message)}`);
}

function head(text: string): string {
  const lines = text.split('\n').slice(0, MESSAGE_LINES);
  return lines.map((line) => `    ${line.slice(0, LINE_LENGTH)}`).join('\n');
}
