import { describe, expect, it } from 'vitest';
import { podsTargets, runPodsExperiment } from './pods-experiment.js';
import { runPodsJob } from './pods-jobs.js';
import { podsPage } from './pods-page.js';
import { rivalOf, runSizingExperiment, sizingTargets, type Sized } from './sizing-experiment.js';
import { sizingPage } from './sizing-page.js';

const ORIGIN = {
  command: 'npm run research -- pods',
  seeds: '2001',
  commit: 'abc',
  date: '2026-11-29T00:00:00.000Z',
  tookSeconds: 1,
  machine: { node: 'v20', cpu: '', cores: 2, os: '' },
} as unknown as Parameters<typeof podsPage>[1];

function sized(policy: Sized['policy'], lostFraction: number, heldCoreSeconds: number): Sized {
  return {
    policy,
    sent: 1000,
    lostFraction,
    heldCoreSeconds,
    usedCoreSeconds: 1,
    meanReplicas: 1,
    mostReplicas: 1,
    replicaChanges: 0,
    resizes: 0,
    digests: [],
  };
}

describe('npm run research -- pods', () => {
  it('has every table, of every balancing and policy, as a page', async () => {
    const results = await runPodsExperiment({ threads: 1, scale: 0.01, onProgress: () => undefined });
    expect(results.tables.map(({ key }) => key)).toEqual(['pods', 'loads', 'whole', 'reports', 'fronts', 'trouble']);
    for (const { rows, columns } of results.tables) {
      for (const { outcomes } of rows) {
        expect(outcomes).toHaveLength(columns.length);
        for (const { sent, lostFraction, unavoidableFraction } of outcomes) {
          expect(sent).toBeGreaterThan(0);
          // The bound is one.
          expect(lostFraction).toBeGreaterThanOrEqual(unavoidableFraction - 1e-12);
        }
      }
    }
    expect(podsTargets(results)).toHaveLength(2);
    const page = podsPage(results, ORIGIN);
    expect(page.match(/^### /gm)).toHaveLength(6);
    expect(page).not.toContain('NaN');
  });

  it('has every policy that sizes a workload, on one day', async () => {
    const results = await runSizingExperiment({ threads: 1, scale: 0.01, onProgress: () => undefined });
    expect(new Set(results.sizing.map(({ sent }) => sent)).size).toBe(1);
    expect(results.sizing.every(({ heldCoreSeconds, usedCoreSeconds }) => heldCoreSeconds > usedCoreSeconds)).toBe(
      true,
    );
    expect(sizingTargets(results)).toHaveLength(1);
    expect(sizingPage(results, ORIGIN)).not.toContain('NaN');
  });

  it('repeats every run from its seed', () => {
    const job = { kind: 'scaling', seed: 3, durationSec: 60, policy: 'sponge 0.99' } as const;
    expect(runPodsJob(job)).toEqual(runPodsJob(job));
  });

  it('holds us against the cheapest that loses no more, or the one that loses least', () => {
    const ours = sized('sponge 0.99', 0.001, 100);
    const others = [sized('hpa 5 1', 0, 300), sized('hpa 10 1', 0.001, 200), sized('hpa 20 1', 0.002, 90)];
    expect(rivalOf(ours, others).policy).toBe('hpa 10 1');
    expect(rivalOf({ ...ours, lostFraction: 0 }, others.slice(1)).policy).toBe('hpa 10 1');
  });
});
