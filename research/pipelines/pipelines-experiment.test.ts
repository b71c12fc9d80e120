import { describe, expect, it } from 'vitest';
import { estimate, pipelinesTargets, runPipelinesExperiment } from './pipelines-experiment.js';
import { pipelinesPage } from './pipelines-page.js';

const ORIGIN = {
  command: 'npm run research -- pipelines',
  seeds: '2001',
  commit: 'abc',
  date: '2026-11-29T00:00:00.000Z',
  tookSeconds: 1,
  machine: { node: 'v20', cpu: '', cores: 2, os: '' },
} as unknown as Parameters<typeof pipelinesPage>[1];

describe('npm run research -- pipelines', () => {
  it('has every policy on the same requests, none below its bound, as a page', async () => {
    const results = await runPipelinesExperiment({ threads: 1, scale: 0.01, onProgress: () => undefined });
    expect(results.cases.map(({ scenario, load }) => `${scenario} ${load}`)).toEqual([
      'crops 0.9',
      'crops 0.5',
      'page 0.9',
      'page 0.5',
    ]);
    for (const { rows } of results.cases) {
      expect(new Set(rows.map(({ sent }) => sent)).size).toBe(1);
      expect(rows[0]!.sent).toBeGreaterThan(0);
      for (const { overBound } of rows) if (overBound !== null) expect(overBound).toBeGreaterThanOrEqual(1);
    }
    expect(pipelinesTargets(results)).toHaveLength(2 * (5 + 1));
    const page = pipelinesPage(results, ORIGIN);
    expect(page.match(/^### /gm)).toHaveLength(4);
    expect(page).not.toContain('NaN');
  });

  it('says how far the seeds are apart', () => {
    // Mean 2, deviation 1, t of 2 degrees of freedom: 4.303 · 1/√3.
    const { value, halfWidth } = estimate([1, 2, 3]);
    expect(value).toBe(2);
    expect(halfWidth).toBeCloseTo(4.303 / Math.sqrt(3), 9);
    expect(estimate([5])).toEqual({ value: 5, halfWidth: 0 });
  });
});
