import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { REASONS } from '../../src/scheduler/domain/outcome.js';
import { isSource, parse, place, readFiles, walk, type SourceFile } from './source-files.js';

/* Rules about the repository as a whole. */

const MAX_LINES = 400;

function findLongFiles(files: readonly SourceFile[]): string[] {
  return files
    .map(({ path, text }) => ({ path, lineCount: text.split('\n').length - (text.endsWith('\n') ? 1 : 0) }))
    .filter(({ lineCount }) => lineCount > MAX_LINES)
    .map(({ path, lineCount }) => `${path} has ${lineCount} lines; split it by idea, ${MAX_LINES} at most`);
}

/** Calls only: its definition and imports do not make a system. */
function findSystemCallers(files: readonly SourceFile[]): string[] {
  const callers: string[] = [];
  for (const file of files) {
    const source = parse(file);
    walk(source, (node) => {
      const isCall = ts.isCallExpression(node) && ts.isIdentifier(node.expression);
      if (isCall && node.expression.text === 'createSystem') callers.push(place(source, node));
    });
  }
  return callers;
}

/** Absolute paths of someone's machine, or of a folder beside the clone. Written so that this file has none itself. */
const MACHINE_PATH = new RegExp(
  [
    String.raw`(?<![\w.~\]}*-])\/(?:work|root|Users|home\/\w+)(?:\/|\b(?![\w-]))`,
    String.raw`\.\.\/shared\b`,
    String.raw`\bC:\\Users`,
  ].join('|'),
);

function findMachinePaths(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) =>
        MACHINE_PATH.test(line) ? [`${path}:${index + 1}: a path of one machine; make it relative or a flag`] : [],
      ),
  );
}

const EXACT_VERSION = /^\d+\.\d+\.\d+(?:-[\w.]+)?$/;

function findUnpinned(packageJson: string): string[] {
  const sections = JSON.parse(packageJson) as Record<string, Record<string, string> | undefined>;
  return ['dependencies', 'devDependencies', 'optionalDependencies', 'overrides'].flatMap((section) =>
    Object.entries(sections[section] ?? {})
      .filter(([, version]) => !EXACT_VERSION.test(version))
      .map(([name, version]) => `${name} "${version}" in ${section}; pin one exact version`),
  );
}

/** `.npmrc` turns them off, so that a dependency's cannot fetch anything; one of our own would not run either. */
function findScriptsNpmRuns(packageJson: string): string[] {
  const { scripts } = JSON.parse(packageJson) as { scripts: Record<string, string> };
  return Object.keys(scripts)
    .filter((name) => /^(?:pre|post|install$|prepare$)/.test(name))
    .map(
      (name) => `script ${name}: npm would run it by itself, and is told not to; call it from the script that needs it`,
    );
}

function findLockedHosts(lockJson: string): string[] {
  const { packages } = JSON.parse(lockJson) as { packages: Record<string, { resolved?: string }> };
  return Object.entries(packages)
    .filter(([, { resolved }]) => resolved !== undefined && /^[a-z+]+:\/\//.test(resolved))
    .map(
      ([name, { resolved }]) => `${name} is locked to ${resolved}; install with omit-lockfile-registry-resolved=true`,
    );
}

/**
 * Under a heading that has the word "reasons", each table row or list item that begins with one `snake_case` word in
 * backticks documents that reason. Null where the file has no such heading.
 */
function documentedReasons(markdown: string): string[] | null {
  const heading = /^#+ .*\breasons\b.*$/im.exec(markdown);
  if (heading === null) return null;
  const section = markdown.slice(heading.index + heading[0].length).split(/^#+ /m, 1)[0] ?? '';
  return [...section.matchAll(/^(?:\||[-*]) *`([a-z_]+)`/gm)].map((match) => match[1]!);
}

describe('the repository', () => {
  const files = readFiles();
  const fileAt = (path: string): string => files.find((file) => file.path === path)!.text;

  it(`has no source file above ${MAX_LINES} lines`, () => {
    expect(findLongFiles(files.filter(isSource))).toEqual([]);
    const lines = (count: number): SourceFile => ({ path: 'src/a.ts', text: 'x;\n'.repeat(count) });
    expect(findLongFiles([lines(MAX_LINES)])).toEqual([]);
    expect(findLongFiles([lines(MAX_LINES + 1)])).toEqual(['src/a.ts has 401 lines; split it by idea, 400 at most']);
  });

  it('makes a system in two places at most: serve and the node', () => {
    const ours = files.filter(
      ({ path }) => /^(?:src|bench|examples)\/.*\.ts$/.test(path) && !path.endsWith('.test.ts'),
    );
    expect(findSystemCallers(ours).length, findSystemCallers(ours).join(', ')).toBeLessThanOrEqual(2);
    const text = "import { createSystem } from './system.js';\nexport function createSystem() {}\ncreateSystem({});\n";
    expect(findSystemCallers([{ path: 'src/cli/serve.ts', text }])).toEqual(['src/cli/serve.ts:3']);
  });

  it('names no path of a machine', () => {
    expect(findMachinePaths(files)).toEqual([]);
    const bad = ['work/main', 'root/x', 'home/ann/x', 'Users/ann', 'work'].map((path) => `cd /${path}`);
    const samples = [...bad, ['see ..', 'shared', 'design.md'].join('/')];
    for (const text of samples) expect(findMachinePaths([{ path: 'a.md', text }]), text).toHaveLength(1);
    const fine = [
      'src/work/a.ts',
      'server/workers/',
      '/workers',
      './home/x',
      'https://x.org/work',
      '/home',
      '/rootless',
    ];
    for (const text of fine) expect(findMachinePaths([{ path: 'a.md', text }]), text).toEqual([]);
  });

  it('pins every dependency to one version', () => {
    expect(findUnpinned(fileAt('package.json'))).toEqual([]);
    const sample = { dependencies: { a: '^1.0.0', b: '1.2.3' }, devDependencies: { c: 'latest', d: '2.0.0-rc.1' } };
    expect(findUnpinned(JSON.stringify(sample))).toEqual([
      'a "^1.0.0" in dependencies; pin one exact version',
      'c "latest" in devDependencies; pin one exact version',
    ]);
  });

  it('has no script that npm runs by itself', () => {
    expect(findScriptsNpmRuns(fileAt('package.json'))).toEqual([]);
    expect(
      findScriptsNpmRuns('{ "scripts": { "prepare": "x", "pretest": "x", "test": "x", "install": "x" } }'),
    ).toHaveLength(3);
  });

  it('is locked to no registry host', () => {
    expect(findLockedHosts(fileAt('package-lock.json'))).toEqual([]);
    const sample = { packages: { '': {}, 'node_modules/a': { resolved: 'https://registry.example/a.tgz' } } };
    expect(findLockedHosts(JSON.stringify(sample))).toEqual([expect.stringContaining('node_modules/a is locked to')]);
  });

  it('documents exactly the reasons that exist', () => {
    const documented = files
      .filter(({ path }) => path === 'README.md' || /^docs\/.*\.md$/.test(path))
      .flatMap(({ path, text }) => ({ path, reasons: documentedReasons(text) }))
      .filter(({ reasons }) => reasons !== null);
    if (documented.length === 0) console.warn('tidy: no page in docs/ has a heading with "reasons" yet; not compared');
    for (const { path, reasons } of documented) {
      expect([...new Set(reasons)].sort(), path).toEqual([...REASONS].sort());
    }
  });

  it('would notice a reason that is missing or unknown', () => {
    const page =
      '# Errors\n\n## Status codes and reasons\n\n| reason | HTTP |\n|---|---|\n| `expired` | 504 |\n- `gone`: x `y`\n\n## Next\n\n- `other`\n';
    expect(documentedReasons(page)).toEqual(['expired', 'gone']);
    expect(documentedReasons('# Errors\n')).toBeNull();
  });
});
