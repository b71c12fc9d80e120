#!/usr/bin/env node
import { existsSync } from 'node:fs';

const entry = new URL('../dist/cli/main.js', import.meta.url);
if (!existsSync(entry)) {
  console.error('sponge: not built yet (dist/ is missing). Run "npm ci" or "npm run build" in the clone first.');
  process.exit(1);
}
await import(entry.href);
