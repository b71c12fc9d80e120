import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runResearch } from './research-run.js';

/* The tables of the pages about planners, on tiny settings: that every target and every row is there. */

const folder = mkdtempSync(join(tmpdir(), 'sponge-research-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('npm run research -- planner', () => {
  it('holds the planner to its targets, and puts the tables where a page has a place for them', async () => {
    const out = join(folder, 'planner');
    const page = join(folder, 'page.md');
    writeFileSync(page, 'before\n<!-- generated: begin -->\nold\n<!-- generated: end -->\nafter\n');
    const short = ['--scale', '0.001', '--least-seeds', '1', '--duration-sec', '5'] as const;
    const { code, stdout, stderr } = await runResearch('planner', ...short, '--out', out, '--into', page);
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
    const { code, stdout } = await runResearch('instances', ...short, '--out', out, '--into', page);
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
    const { code, stdout } = await runResearch('node', ...short, '--out', out);
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
