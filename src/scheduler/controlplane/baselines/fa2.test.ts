import { describe, expect, it } from 'vitest';
import { arrival, plannerView } from '../../../../test/fixtures/planner-views.js';
import { FA2_MAX_INSTANCES, fa2Plan, fa2Planner } from './fa2.js';
import { RELEASED_FITS, RELEASED_SLO_FRACTION } from './released.js';

const CONFIG = { coefficients: RELEASED_FITS.yolov5s, arrivalRatePerSec: 20, sloMs: 1000, maxBatchSize: 8 };

function planAt(remainingSloMs: number): readonly [instances: number | 'infeasible', lastLatencyMs: number] {
  const { best, lastLatencyMs } = fa2Plan({
    ...CONFIG,
    remainingSloMs,
    sloFraction: RELEASED_SLO_FRACTION,
    maxInstances: FA2_MAX_INSTANCES,
  });
  if (best !== null) expect(best.batchSize).toBe(1);
  return [best?.instances ?? 'infeasible', lastLatencyMs];
}

describe('FA2 as the Sponge authors coded it', () => {
  it('gives the instances of their evaluation and logs their latencies, always with batches of one', () => {
    // l(b, 1) = 136, 302, 467, 633, 799, 965, … ms. At 600: 136 + 2·136 + 400 < 900 needs ceil(20 / n) = 2.
    expect(planAt(600)).toEqual([10, 633]);
    expect([650, 700, 750].map(planAt)).toEqual([
      [7, 799],
      [7, 799],
      [7, 799],
    ]);
    expect([800, 850, 900].map(planAt)).toEqual([
      [5, 965],
      [5, 965],
      [5, 965],
    ]);
    expect([920, 940, 960].map(planAt)).toEqual([
      [4, 965],
      [4, 965],
      [4, 965],
    ]);
  });

  it('needs less than the fraction of the SLO, not as much', () => {
    // 3·136 + 492 = 900 = 0.9·1000.
    expect([508, 509].map((remainingSloMs) => planAt(remainingSloMs)[0])).toEqual(['infeasible', 10]);
  });

  it('finds nothing in the deepest dip of their trace, nor before traffic', () => {
    // 136 + 136 + 703 = 975 ≥ 900 even with a batch a round.
    expect(planAt(297)[0]).toBe('infeasible');
    expect(planAt(0)).toEqual(['infeasible', 136]);
    expect(planAt(-200)[0]).toBe('infeasible');
  });

  it('begins with what is warm, on one core each, and keeps it until there is traffic', () => {
    const { planner, observe } = fa2Planner(CONFIG);
    expect(planner.plan(plannerView()).plan).toMatchObject({ instances: 1, cpuMillicores: 1000, batchSize: 1 });
    observe(arrival(500, 100));
    expect(planner.plan(plannerView({ nowMs: 1000 })).plan).toMatchObject({
      instances: 5,
      cpuMillicores: 1000,
      batchSize: 1,
    });
    const warm = fa2Planner(CONFIG).planner;
    const current = { ...plannerView().current, instances: 6 };
    expect(warm.plan(plannerView({ current })).plan.instances).toBe(6);
  });

  it('follows the last request once a second, down as fast as up, and keeps n where nothing fits', () => {
    const { planner, observe } = fa2Planner(CONFIG);
    const instances = [400, 100, 703, 60].map((networkDelayMs, second) => {
      observe(arrival(1000 * second, networkDelayMs));
      return planner.plan(plannerView({ nowMs: 1000 * second + 999 })).plan.instances;
    });
    expect(instances).toEqual([10, 5, 5, 4]);
    expect(planner).toMatchObject({ name: 'fa2', tickMs: 1000, isEventDriven: false, appliesAtOnce: true });
  });
});
