import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Scope } from './bench.js';

/*
 * This package as it was, built beside what it is: with the modules that are installed for this tree, so that it is our own code that differs.
 */

const ROOT = join(import.meta.dirname, '../..');

/** What `--before` names: a commit, or a folder with a tree that is built already. Null: it was not given. */
export function statedBefore(argv: readonly string[] = process.argv): string | null {
  const at = argv.indexOf('--before');
  return at === -1 ? null : (argv[at + 1] ?? null);
}

/** @returns the path of its `bin/sponge.js`   @throws Error where there is no such commit, or it cannot be built */
export function olderTree(scope: Scope, before: string): string {
  if (statSync(before, { throwIfNoEntry: false })?.isDirectory() === true) return binOf(before);
  const folder = join(scope.folder(), 'tree');
  mkdirSync(folder);
  const archive = execFileSync('git', ['archive', `${before}^{commit}`], { cwd: ROOT, maxBuffer: 2 ** 30 });
  execFileSync('tar', ['-x', '-C', folder], { input: archive });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  execFileSync('npm', ['run', 'build'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  return binOf(folder);
}

function binOf(folder: string): string {
  if (!existsSync(join(folder, 'dist/cli/main.js'))) throw new Error(`${folder} is not built: npm run build there`);
  return join(folder, 'bin/sponge.js');
}
