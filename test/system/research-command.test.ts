import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

/* The research command: files, exit code, JSON, and what it says when something is wrong. */

const folder = mkdtempSync(join(tmpdir(), 'sponge-experiment-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function experiment(...args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'research/main.ts', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

const FILES = [
  'communication-latency.csv',
  'evaluation-by-second.csv',
  'evaluation.csv',
  'fa2-decisions.csv',
  'latency-fits.csv',
  'released-decisions.csv',
  'remaining-slo.csv',
  'report.html',
  'results.json',
  'rule-replays.csv',
];

interface Results {
  readonly origin: { readonly command: string; readonly seeds: string };
  readonly seeds: readonly number[];
  readonly network: { readonly kind: string };
  readonly fits: readonly { readonly coefficients: { readonly gamma: number } }[];
  readonly evaluation: readonly object[];
}

/** Without the clock and the machine. */
function withoutOrigin(json: string): object {
  const { origin, ...rest } = JSON.parse(json) as Results;
  expect(origin.seeds).not.toBe('');
  return rest;
}

describe('npm run research -- euromlsys24', () => {
  const short = ['euromlsys24', '--seeds', '1', '--duration-sec', '10'] as const;

  it('writes its files, prints the report, and gives the same on one thread and on two', async () => {
    const first = join(folder, 'first', 'deeper');
    const text = await experiment(...short, '--out', first, '--threads', '2');
    expect([text.code, text.stderr.split('\n').filter((line) => !line.startsWith('euromlsys24: '))]).toEqual([0, ['']]);
    expect(text.stderr).toContain('network: generated 4G-like series');
    expect(text.stdout).toContain(`command: npm run research -- ${short.join(' ')} --out ${first} --threads 2\n`);
    expect(text.stdout).toMatch(/Sponge: violations, % \(fit\) +0\.2875/);
    expect(readdirSync(first).sort()).toEqual(FILES);
    const report = readFileSync(join(first, 'report.html'), 'utf8');
    expect(report).toMatch(/^<!doctype html>/);

    const second = join(folder, 'second');
    const json = await experiment(...short, '--out', second, '--threads', '1', '--json');
    expect(json.code).toBe(0);
    expect(json.stdout).toBe(readFileSync(join(second, 'results.json'), 'utf8'));
    const results = JSON.parse(json.stdout) as Results;
    expect(results).toMatchObject({ seeds: [1], network: { kind: 'generated' } });
    expect(results.fits[0]!.coefficients.gamma).toBeCloseTo(140.435157, 6);
    expect(withoutOrigin(json.stdout)).toEqual(withoutOrigin(readFileSync(join(first, 'results.json'), 'utf8')));
  });

  it.each([
    [['euromlsys24', '--network-log', 'no-such.log'], /^sponge: no-such\.log: no such file; check the path\n$/],
    [
      ['euromlsys24', '--out', join('package.json', 'x')],
      /^sponge: --out package\.json.x: .*; give a folder that can be/,
    ],
    [['planner', '--seeds', '3'], /^sponge: --seed and --seeds: planner has seeds of its own.*\n$/],
    [['planner', '--into', 'README.md'], /^sponge: --into README\.md: give a file with the lines .*\n$/],
    [['nonsense'], /^sponge: no experiment is called nonsense; there are: euromlsys24\b/],
    [['euromlsys24', '--seeds', '0'], /argument '0' is invalid\. expected a whole number ≥ 1\.\n/],
  ])('says in one line what is wrong: %j', async (args, message) => {
    const { code, stdout, stderr } = await experiment(...args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
  });
});

describe('npm run research -- planner', () => {
  it('holds the planner to its targets, and puts the tables where a page has a place for them', async () => {
    const out = join(folder, 'planner');
    const page = join(folder, 'page.md');
    writeFileSync(page, 'before\n<!-- generated: begin -->\nold\n<!-- generated: end -->\nafter\n');
    const short = ['--scale', '0.001', '--least-seeds', '1', '--duration-sec', '5'] as const;
    const { code, stdout, stderr } = await experiment('planner', ...short, '--out', out, '--into', page);
    expect([code, stderr.split('\n').filter((line) => !line.startsWith('planner: '))]).toEqual([0, ['']]);
    expect(readdirSync(out).sort()).toEqual(['planner.json', 'planner.md']);
    expect(stdout).toBe(readFileSync(join(out, 'planner.md'), 'utf8'));
    for (const heading of ['What it is held to', 'Every scenario', 'What each part is worth', 'What the dial trades']) {
      expect(stdout).toContain(`### ${heading}\n`);
    }
    // Every target has a number, and every scenario a row.
    const rows = stdout.split('\n').filter((line) => line.startsWith('| '));
    expect(rows.filter((line) => / (?:met|aim met|\*\*missed\*\*) \|$/.test(line))).toHaveLength(13);
    expect(rows.filter((line) => /^\| overload \|/.test(line))).toHaveLength(1);
    expect(stdout).not.toMatch(/NaN|undefined|Infinity/);
    const written = readFileSync(page, 'utf8');
    expect(written).toMatch(/^before\n/);
    expect(written).toContain(stdout.trim());
    expect(written).toMatch(/\nafter\n$/);
    expect(written).not.toContain('old');
    const { results } = JSON.parse(readFileSync(join(out, 'planner.json'), 'utf8')) as {
      results: { suite: { scenario: string; released: { toReference: number } }[] };
    };
    expect(results.suite).toHaveLength(12);
    for (const { released } of results.suite) expect(released.toReference).toBeGreaterThan(0.9);
  });
});

describe('npm run research -- instances', () => {
  it('writes its tables between marks of their own', async () => {
    const out = join(folder, 'instances');
    const page = join(folder, 'instances-page.md');
    const others = '<!-- generated: begin -->\nold\n<!-- generated: end -->\n';
    writeFileSync(page, `${others}<!-- generated instances: begin -->\n<!-- generated instances: end -->\nafter\n`);
    const short = ['--scale', '0.00001', '--least-seeds', '1', '--duration-sec', '3'] as const;
    const { code, stdout } = await experiment('instances', ...short, '--out', out, '--into', page);
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/NaN|undefined|Infinity/);
    const rows = stdout.split('\n').filter((line) => line.startsWith('| '));
    expect(rows.filter((line) => / (?:met|aim met|\*\*missed\*\*) \|$/.test(line))).toHaveLength(6);
    // One worker to eight instances; and ours beside seven others.
    expect(rows.filter((line) => /^\| [1-8] \|/.test(line))).toHaveLength(8);
    expect(rows.filter((line) => /^\| `/.test(line))).toHaveLength(8);
    const written = readFileSync(page, 'utf8');
    expect(written.startsWith(others)).toBe(true);
    expect(written).toContain(stdout.trim());
    expect(written).toMatch(/\nafter\n$/);
  });
});

describe('npm run research -- node', () => {
  it('has a row a policy for each mix of four models, and says what load each carries', async () => {
    const out = join(folder, 'node');
    const short = ['--scale', '0.1', '--duration-sec', '1', '--loads', '0.3,0.6'] as const;
    const { code, stdout } = await experiment('node', ...short, '--out', out);
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/NaN|undefined|Infinity/);
    const rows = stdout.split('\n').filter((line) => line.startsWith('| '));
    // Nine policies, a bound and four models for each of two mixes.
    expect(rows.filter((line) => /^\| `/.test(line))).toHaveLength(18);
    expect(rows.filter((line) => /^\| bound \|/.test(line))).toHaveLength(2);
    expect(rows.filter((line) => /^\| (?:mlp|resnet18|yolov5n|yolov5s) \|/.test(line))).toHaveLength(8);
    const { results } = JSON.parse(readFileSync(join(out, 'node.json'), 'utf8')) as {
      results: { loads: number[]; scenarios: { policies: { carried: number | null }[] }[] };
    };
    expect(results.loads).toEqual([0.3, 0.6]);
    for (const { policies } of results.scenarios) expect(policies).toHaveLength(9);
  });
});
