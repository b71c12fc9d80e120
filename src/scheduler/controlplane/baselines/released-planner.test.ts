import { describe, expect, it } from 'vitest';
import { arrival, plannerView } from '../../../../test/fixtures/planner-views.js';
import type { PlannerView } from '../planner.js';
import { RELEASED_FITS } from './released.js';
import { releasedPlanner, type AuthorsConfig } from './released-planner.js';

const YOLOV5S: AuthorsConfig = {
  coefficients: RELEASED_FITS.yolov5s,
  arrivalRatePerSec: 20,
  sloMs: 1000,
  maxBatchSize: 8,
};

/** Allocations and batch sizes at each tick, after a request with that delay. */
function follow(delaysMs: readonly number[], fields: Partial<PlannerView> = {}): [cores: number, batchSize: number][] {
  const { planner, observe } = releasedPlanner(YOLOV5S);
  return delaysMs.map((networkDelayMs, second) => {
    observe(arrival(1000 * second + 500, networkDelayMs));
    const { plan } = planner.plan(plannerView({ nowMs: 1000 * (second + 1), ...fields }));
    return [plan.cpuMillicores / 1000, plan.batchSize];
  });
}

describe('the released control loop', () => {
  it('keeps what the system was started with before any traffic: the gauge reads 0', () => {
    const { planner } = releasedPlanner(YOLOV5S);
    const { plan, unsalvageable } = planner.plan(plannerView());
    expect(plan).toMatchObject({
      kind: 'feasible',
      instances: 1,
      cpuMillicores: 16_000,
      batchSize: 1,
      boundBy: { kind: 'start' },
    });
    expect(unsalvageable).toEqual([]);
  });

  it('follows the delay of the last request, and keeps the plan where nothing fits', () => {
    expect(follow([0, 100, 144, 145, 700, 40])).toEqual([
      [9, 4],
      [13, 5],
      [16, 5],
      [16, 5],
      [16, 5],
      [10, 5],
    ]);
  });

  it('cuts the remaining SLO to whole ms: of 144.5 ms of delay 145 are left', () => {
    // 1000 − 144.5 = 855.5 → 855.
    expect(follow([100, 144.5])[1]).toEqual([13, 5]);
    expect(follow([100, 144])[1]).toEqual([16, 5]);
  });

  it('knows the last request alone', () => {
    const { planner, observe } = releasedPlanner(YOLOV5S);
    observe(arrival(10, 500));
    observe(arrival(20, 100));
    expect(planner.plan(plannerView({ nowMs: 1000 })).plan).toMatchObject({ cpuMillicores: 13_000, batchSize: 5 });
  });

  it('searches within the limits it is given', () => {
    const limits = { minMillicores: 1000, maxMillicores: 12_500, stepMillicores: 500 };
    // 80 ms need 12 cores, 100 ms would need 13.
    expect(follow([100, 80, 100], { limits })).toEqual([
      [12.5, 1],
      [12, 5],
      [12, 5],
    ]);
  });

  it('sleeps for a second, whatever arrives, and is applied at once', () => {
    const { planner } = releasedPlanner(YOLOV5S);
    expect(planner).toMatchObject({ name: 'released', tickMs: 1000, isEventDriven: false, appliesAtOnce: true });
    expect(planner.isStillValid(plannerView())).toBe(true);
  });
});
