import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readFiles, type SourceFile } from './source-files.js';

/* What the pages say can be followed: commands exist with the flags that are shown, links lead somewhere. What commands print is tested elsewhere. */

const pages = readFiles().filter(({ path }) => path.endsWith('.md'));
const pageAt = (path: string): string => pages.find((page) => page.path === path)!.text;
const readme = pageAt('README.md');
const { scripts } = JSON.parse(readFiles().find(({ path }) => path === 'package.json')!.text) as {
  scripts: Record<string, string>;
};

/** Command lines of the shell blocks, comments off. */
function shellLines(markdown: string): string[] {
  return [...markdown.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) =>
    block!
      .replace(/\\\n\s*/g, '')
      .split('\n')
      .map((line) => line.replace(/\s+#.*$/, '').trim())
      .filter((line) => line !== ''),
  );
}

function npmScripts(line: string): string[] {
  return [...line.matchAll(/npm (?:run )?(?:-s )?([\w:-]+)/g)]
    .map((match) => match[1]!)
    .filter((name) => !['ci', 'install', 'pack', 'publish', 'exec'].includes(name));
}

/** Outside of code, as headings have it. GitHub's: lower case, punctuation gone, a dash for each space. */
function anchorsOf(markdown: string): Set<string> {
  const headings = markdown.replace(/```[\s\S]*?```/g, '').matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

function findBrokenLinks(all: readonly SourceFile[], isFile: (path: string) => boolean): string[] {
  return all.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(([, target, anchor]) => {
      const place = target === '' ? path : join(dirname(path), target!);
      if (!isFile(place)) return [`${path} → ${target!}: there is no such file`];
      const page = all.find((each) => each.path === place);
      const isThere = anchor === undefined || page === undefined || anchorsOf(page.text).has(anchor);
      return isThere ? [] : [`${path} → ${target!}#${anchor}: there is no such heading`];
    }),
  );
}

describe('the README', () => {
  const lines = shellLines(readme);

  it('names the two commands', () => {
    expect(lines).toContain('npm ci && npm start');
    expect(lines).toContain('npm ci && npm test');
  });

  it('fits on two screens, and has no placeholder left', () => {
    expect(readme.split('\n').length).toBeLessThanOrEqual(130);
    expect(readme).not.toMatch(/@@|TBD|lorem/i);
  });
});

describe('every page', () => {
  it('names only npm scripts that exist', () => {
    const named = pages.flatMap(({ path, text }) => {
      const inText = [...text.matchAll(/`(npm [^`]+)`/g)].map((match) => match[1]!);
      return [...shellLines(text), ...inText].flatMap(npmScripts).map((name) => ({ path, name }));
    });
    expect(named.length).toBeGreaterThan(20);
    for (const { path, name } of named) expect(Object.keys(scripts), `${path}: npm run ${name}`).toContain(name);
  });

  it('shows only verbs and flags that the command line has', () => {
    const helps = new Map<string, string>();
    const helpOf = (program: readonly string[], ...verbs: readonly string[]): string => {
      const args = [...program, ...verbs, '--help'];
      const help = helps.get(args.join(' ')) ?? execFileSync(process.execPath, args, { encoding: 'utf8' });
      helps.set(args.join(' '), help);
      return help;
    };
    const hasVerb = (help: string, verb: string): boolean =>
      new RegExp(`^Commands:[\\s\\S]*^ {2}${verb} \\[`, 'm').test(help);
    const check = (start: string, program: readonly string[]): number => {
      const commands = pages.flatMap(({ text }) => shellLines(text).filter((line) => line.startsWith(start)));
      for (const command of commands) {
        const words = command.slice(start.length).split(/\s+/);
        let help = helpOf(program);
        for (const [depth, word] of words.entries()) {
          if (word.startsWith('--') || !hasVerb(help, word)) break;
          help = helpOf(program, ...words.slice(0, depth + 1));
        }
        for (const flag of words.filter((word) => word.startsWith('--'))) expect(help, command).toContain(flag);
      }
      return commands.length;
    };
    expect(check('npx sponge ', ['bin/sponge.js'])).toBeGreaterThan(20);
    expect(check('npm run research -- ', ['--import', 'tsx', 'research/main.ts'])).toBeGreaterThan(3);
  });

  it('links to files and headings that exist', () => {
    expect(findBrokenLinks(pages, existsSync)).toEqual([]);
    const bad = { path: 'docs/a.md', text: '# One `two`\n[x](b.md) [y](#one-two) [z](#three)' };
    expect(findBrokenLinks([bad], (path) => path === 'docs/a.md')).toEqual([
      'docs/a.md → b.md: there is no such file',
      'docs/a.md → #three: there is no such heading',
    ]);
  });
});

describe('the map of the tree', () => {
  const path = 'docs/architecture.md';
  const sources = readFiles().filter((file) => file.path.endsWith('.ts'));

  it('names files that exist', () => {
    const known = new Set(sources.map((file) => basename(file.path)));
    const named = new Set(pageAt(path).match(/[\w-]+(?:\.test)?\.ts\b/g));
    expect(named.size).toBeGreaterThan(30);
    expect([...named].filter((name) => !known.has(name))).toEqual([]);
  });

  it('leads to the line that decides a batch by names that are in the files it links to', () => {
    const [, walk] = /\n## From the README to the line[^\n]*\n([\s\S]*?)\n## /.exec(pageAt(path))!;
    const steps = walk!.split('\n').filter((line) => /^\d\. /.test(line));
    const names = steps.flatMap((step) => {
      const [, target] = /\]\(([^)]+)\)/.exec(step)!;
      const source = sources.find((file) => file.path === join(dirname(path), target!))!;
      return [...step.matchAll(/`(\w+)`/g)].map(([, name]) => ({ name: name!, source }));
    });
    expect(names.map(({ name }) => name)).toEqual(['submit', 'wake', 'decideBatch', 'chooseStart']);
    for (const { name, source } of names)
      expect(source.text, source.path).toMatch(new RegExp(`^.*\\b${name}\\(.*\\{$`, 'm'));
  });
});

describe('a decision', () => {
  const decisions = pages.filter(({ path }) => path.startsWith('docs/decisions/'));

  it('has a number of its own, and a status', () => {
    const numbers = decisions.map(({ path }) => Number(/(\d{4})-[a-z0-9-]+\.md$/.exec(path)![1]));
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const [index, { path, text }] of decisions.entries()) {
      expect(text, path).toMatch(new RegExp(`^# ${numbers[index]}\\. .+\n\nStatus: (?:accepted|superseded)\\b`));
    }
  });

  it('that is superseded says by which', () => {
    for (const { path, text } of decisions) {
      const [, status] = /^Status: ([\s\S]*?)\n\n/m.exec(text)!;
      if (/[Ss]uperseded/.test(status!)) expect(status, path).toMatch(/uperseded[\s\S]*\]\(\d{4}-/);
    }
  });
});

describe('what is generated', () => {
  it('says by which command, and lies between marks where it is a part of a page', () => {
    const parts = pages.flatMap(({ path, text }) =>
      [...text.matchAll(/^<!-- (generated(?: \w+)?): begin -->([\s\S]*?)^<!-- \1: end -->$/gm)].map(([, , part]) => ({
        path,
        part: part!,
      })),
    );
    expect(parts.length).toBeGreaterThan(3);
    for (const { path, part } of parts) expect(part, path).toMatch(/Generated by `npm run research -- [^`]+`/);
    expect(pageAt('docs/evaluation.md')).toMatch(/Generated by `npm run research -- [^`]+`.* Do not edit/);
    expect(pageAt('docs/peers.md')).toMatch(/`npm run bench -- peers`/);
  });
});
