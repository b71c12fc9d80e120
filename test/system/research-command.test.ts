import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { researchProgram } from '../../research/cli/experiments.js';
import { runResearch } from './research-run.js';

/* The research command: files, exit code, JSON, and what it says when something is wrong. */

const folder = mkdtempSync(join(tmpdir(), 'sponge-experiment-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
    const text = await runResearch(...short, '--out', first, '--threads', '2');
    expect([text.code, text.stderr.split('\n').filter((line) => !line.startsWith('euromlsys24: '))]).toEqual([0, ['']]);
    expect(text.stderr).toContain('network: generated 4G-like series');
    expect(text.stdout).toContain(`command: npm run research -- ${short.join(' ')} --out ${first} --threads 2\n`);
    expect(text.stdout).toMatch(/Sponge: violations, % \(fit\) +0\.2875/);
    expect(readdirSync(first).sort()).toEqual(FILES);
    const report = readFileSync(join(first, 'report.html'), 'utf8');
    expect(report).toMatch(/^<!doctype html>/);

    const second = join(folder, 'second');
    const json = await runResearch(...short, '--out', second, '--threads', '1', '--json');
    expect(json.code).toBe(0);
    expect(json.stdout).toBe(readFileSync(join(second, 'results.json'), 'utf8'));
    const results = JSON.parse(json.stdout) as Results;
    expect(results).toMatchObject({ seeds: [1], network: { kind: 'generated' } });
    expect(results.fits[0]!.coefficients.gamma).toBeCloseTo(140.435157, 6);
    expect(withoutOrigin(json.stdout)).toEqual(withoutOrigin(readFileSync(join(first, 'results.json'), 'utf8')));
  });

  it('says what is wrong in one line, and nothing else', async () => {
    const { code, stdout, stderr } = await runResearch('nonsense');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^sponge: no experiment is called nonsense; there are: euromlsys24\b.*\n.*--help.*\n$/);
  });

  it.each([
    [['euromlsys24', '--network-log', 'no-such.log'], /^no-such\.log: no such file; check the path$/],
    [['euromlsys24', '--out', join('package.json', 'x')], /^--out package\.json.x: .*; give a folder that can be/],
    [['planner', '--seeds', '3'], /^--seed and --seeds: planner has seeds of its own.*$/],
    [['planner', '--into', 'README.md'], /^--into README\.md: give a file with the lines .*$/],
    [['euromlsys24', '--seeds', '0'], /argument '0' is invalid\. expected a whole number ≥ 1\.$/],
  ])('refuses %j', async (args, message) => {
    const program = researchProgram()
      .exitOverride()
      .configureOutput({ writeErr: () => undefined });
    await expect(program.parseAsync(args, { from: 'user' })).rejects.toThrow(message);
  });
});
