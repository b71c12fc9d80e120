import { describe, expect, it } from 'vitest';
import { runPods, type Balancing, type PodsOptions, type PodsResult } from './pods.js';

/* The picker before whole systems, against what balancers do that know nothing of deadlines; the same arrivals for all. */

const SEEDS = [1, 2, 3];

function pooled(
  balancing: Balancing,
  fields: Partial<PodsOptions>,
): { lost: number; sent: number; results: PodsResult[] } {
  const results = SEEDS.map((seed) =>
    runPods({
      seed,
      podCount: 3,
      balancing,
      load: 0.6,
      durationMs: 12_000,
      budgetsMs: [250, 500, 1000, 2000],
      burst: 6,
      reportEveryMs: 20,
      ...fields,
    }),
  );
  const sent = results.reduce((sum, each) => sum + each.sent, 0);
  const onTime = results.reduce((sum, each) => sum + each.onTime, 0);
  return { lost: sent - onTime, sent, results };
}

describe('three pods', () => {
  it('of one size lose at most half as many as with least request, and never more than in turn', () => {
    const ours = pooled('picker', {});
    expect(ours.lost).toBeLessThanOrEqual(pooled('least-request', {}).lost / 2);
    expect(ours.lost).toBeLessThanOrEqual(pooled('round-robin', {}).lost);
  });

  it('of three sizes lose a tenth', () => {
    const millicores = [200, 500, 800];
    const ours = pooled('picker', { millicores });
    expect(ours.lost).toBeLessThanOrEqual(pooled('least-request', { millicores }).lost / 10);
  });

  it('that are overloaded answer as many as with least request, to 2 in 100, and who is refused is told by the picker too', () => {
    const fields = { load: 1.1, durationMs: 8000 };
    const ours = pooled('picker', fields);
    expect(ours.lost).toBeLessThanOrEqual(pooled('least-request', fields).lost + 0.02 * ours.sent);
    expect(ours.results.every(({ refusedByPicker }) => refusedByPicker > 0)).toBe(true);
  });

  it('are no worse off by reports that are half a second old', () => {
    const late = pooled('picker', { reportEveryMs: 500 });
    expect(late.lost).toBeLessThanOrEqual(pooled('least-request', {}).lost);
  });

  it('answer everything that states no budget, however late', () => {
    for (const { sent, onTime, late } of pooled('picker', { load: 1.2, budgetsMs: [null], durationMs: 5000 }).results)
      expect(onTime + late).toBe(sent);
  });
});
