import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

/* The README's commands exist, with the flags that it shows; its links lead somewhere. What they print is tested elsewhere. */

const readme = readFileSync('README.md', 'utf8');
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };

/** Command lines of the shell blocks, comments off. */
function shellLines(markdown: string): string[] {
  return [...markdown.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) =>
    block!
      .split('\n')
      .map((line) => line.replace(/\s+#.*$/, '').trim())
      .filter((line) => line !== ''),
  );
}

function npmScripts(line: string): string[] {
  return [...line.matchAll(/npm (?:run )?(?:-s )?([\w:-]+)/g)]
    .map((match) => match[1]!)
    .filter((name) => name !== 'ci');
}

describe('the README', () => {
  const lines = shellLines(readme);

  it('names the two commands', () => {
    expect(lines).toContain('npm ci && npm start');
    expect(lines).toContain('npm ci && npm test');
  });

  it('names only npm scripts that exist', () => {
    const named = [...lines, ...[...readme.matchAll(/`(npm [^`]+)`/g)].map((match) => match[1]!)].flatMap(npmScripts);
    expect(named.length).toBeGreaterThan(3);
    for (const name of named) expect(Object.keys(scripts), name).toContain(name);
  });

  it('shows only verbs and flags that the command line has', () => {
    const commands = lines.filter((line) => line.startsWith('npx sponge '));
    expect(commands.length).toBeGreaterThan(4);
    for (const command of commands) {
      const [verb, ...words] = command.replace('npx sponge ', '').split(/\s+/);
      const help = execFileSync(process.execPath, ['bin/sponge.js', verb!, '--help'], { encoding: 'utf8' });
      for (const flag of words.filter((word) => word.startsWith('--'))) expect(help, command).toContain(flag);
    }
  });

  it('has no placeholder left', () => {
    expect(readme).not.toMatch(/@@|TBD|lorem/i);
  });

  it('links to files that exist, and so do the pages in docs/', () => {
    const pages = ['README.md', ...['architecture', 'protocol', 'in-place-scaling'].map((name) => `docs/${name}.md`)];
    for (const page of pages) {
      for (const [, target] of readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        expect(existsSync(join(dirname(page), target!)), `${page} → ${target!}`).toBe(true);
      }
    }
  });
});
