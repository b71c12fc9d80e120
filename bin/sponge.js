#!/usr/bin/env node
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

const entry = new URL('../dist/cli/main.js', import.meta.url);
if (!existsSync(entry)) buildClone();
// Before it grows: src/cli/garbage-collection.ts says what for.
if (process.argv[2] === 'serve') setFlagsFromString('--semi-space-growth-factor=1');
await import(entry.href);

/** A fresh clone is built by its first command: npm is told to run no script at installation (.npmrc). */
function buildClone() {
  const root = fileURLToPath(new URL('..', import.meta.url));
  if (!existsSync(new URL('../node_modules/typescript', import.meta.url))) {
    console.error('sponge: not built yet (dist/ is missing). Run "npm ci" in the clone first.');
    process.exit(1);
  }
  console.error('sponge: building, once ...');
  // To stderr, so that what the command prints can be read by a program.
  const { status } = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0 || !existsSync(entry)) {
    console.error('sponge: the build failed. Run "npm run build" in the clone to see why.');
    process.exit(1);
  }
}
