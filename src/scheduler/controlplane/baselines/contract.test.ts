import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrival, arrivals, plannerView, SHARED_WORK } from '../../../../test/fixtures/planner-views.js';
import { batchEnded, batchStarted, finished, infeasible } from '../../../../test/fixtures/events.js';
import type { Event } from '../../domain/event.js';
import { exactLatency, type LatencyModel } from '../../domain/latency.js';
import type { Plan } from '../../domain/plan.js';
import type { PlannerView } from '../planner.js';
import { fa2Planner } from './fa2.js';
import { fa2PublishedPlanner } from './fa2-published.js';
import type { ObservingPlanner } from './observing-planner.js';
import { RELEASED_FITS, releasedLatencyMs } from './released.js';
import { releasedPlanner, type AuthorsConfig } from './released-planner.js';
import { staticPlanner } from './static.js';
import { themisPlanner } from './themis-hybrid.js';
import { vpaPlanner } from './vpa.js';

/* What every controller of this folder keeps to. A new one goes into this list. */

const YOLOV5S: AuthorsConfig = {
  coefficients: RELEASED_FITS.yolov5s,
  arrivalRatePerSec: 20,
  sloMs: 1000,
  maxBatchSize: 8,
};

type LatencyMs = (batchSize: number, cpuMillicores: number) => number;

/** By the authors' fit, which their controllers plan with. */
const fittedMs: LatencyMs = (batchSize, cpuMillicores) =>
  releasedLatencyMs(YOLOV5S.coefficients, batchSize, cpuMillicores / 1000);
const modelMs: LatencyMs = (batchSize, cpuMillicores) => SHARED_WORK.plannedLatencyMs(batchSize, cpuMillicores);

interface Subject {
  readonly name: string;
  readonly make: () => ObservingPlanner;
  /** The latency by which it claims to keep up with a steady 20/s; null where it claims nothing. */
  readonly claimsMs: LatencyMs | null;
}

const ignore = (): void => undefined;

const SUBJECTS: readonly Subject[] = [
  { name: 'released', make: () => releasedPlanner(YOLOV5S), claimsMs: fittedMs },
  { name: 'fa2', make: () => fa2Planner(YOLOV5S), claimsMs: fittedMs },
  { name: 'fa2-published', make: () => fa2PublishedPlanner({ sloMs: 1000 }), claimsMs: modelMs },
  { name: 'themis', make: () => themisPlanner({ sloMs: 1000 }), claimsMs: modelMs },
  { name: 'vpa', make: () => ({ planner: vpaPlanner(), observe: ignore }), claimsMs: null },
];

function modelOf(work: number, fixed: number, perRequest: number): LatencyModel {
  const latencyMs: LatencyMs = (batchSize, cpuMillicores) =>
    (1000 * work * batchSize) / cpuMillicores + fixed + perRequest * batchSize;
  return exactLatency(latencyMs);
}

/** What happens in one second, and how the world looks at its end. */
const aSecond = fc.record({
  count: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })),
  networkDelayMs: fc.oneof(fc.double({ min: 0, max: 999, noNaN: true }), fc.constantFrom(1000, 5000, 1e9)),
  instanceCount: fc.integer({ min: 0, max: 20 }),
  usedCores: fc.double({ min: -1, max: 20, noNaN: true }),
  hasCounters: fc.boolean(),
});

const aWorld = fc.record({
  seconds: fc.array(aSecond, { minLength: 1, maxLength: 40 }),
  tickSeconds: fc.constantFrom(1, 7),
  model: fc.tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 20 })),
  maxBatchSize: fc.integer({ min: 1, max: 16 }),
  /** The system may have been started a little before 0, and without a warm instance. */
  startAtMs: fc.constantFrom(0, -750.5),
  startInstances: fc.integer({ min: 0, max: 4 }),
  limits: fc
    .tuple(fc.integer({ min: 50, max: 3000 }), fc.integer({ min: 0, max: 15_000 }), fc.integer({ min: 1, max: 1000 }))
    .map(([minMillicores, range, stepMillicores]) => ({
      minMillicores,
      maxMillicores: minMillicores + range,
      stepMillicores,
    })),
});

type World = typeof aWorld extends fc.Arbitrary<infer T> ? T : never;

/** All plans, each in force until the next. */
function follow({ planner, observe }: ObservingPlanner, world: World): Plan[] {
  const { limits, maxBatchSize } = world;
  const arrivalModel = modelOf(...world.model);
  let current: Plan = {
    ...plannerView().current,
    instances: world.startInstances,
    cpuMillicores: limits.maxMillicores,
  };
  let usedSeconds = 0;
  const ask = (nowMs: number, instanceCount: number, hasCounters: boolean): Plan => {
    const counters = { usedSeconds, periods: 0, throttledPeriods: 0, throttledSeconds: 0 };
    const view: PlannerView = plannerView({
      nowMs,
      limits,
      current,
      // Before the first request there is no class to know the latency of.
      arrivalModel: nowMs <= 0 ? modelOf(0, 0, 0) : arrivalModel,
      readCounters: () => (hasCounters ? counters : null),
      snapshot: { ...plannerView().snapshot, instanceCount, maxBatchSize },
    });
    expect(typeof planner.isStillValid(view)).toBe('boolean');
    const { plan, unsalvageable } = planner.plan(view);
    expect(unsalvageable).toEqual([]);
    current = plan;
    // Of a world that stays as it is, a plan that was just made holds.
    const fits = plan.cpuMillicores === limits.minMillicores || planner.isStillValid({ ...view, current });
    expect(fits).toBe(true);
    return plan;
  };

  const plans = [ask(world.startAtMs, 0, true)];
  world.seconds.forEach((second, index) => {
    const tickMs = world.tickSeconds * 1000;
    const fromMs = world.startAtMs + index * tickMs;
    for (const event of arrivals(fromMs, second.count, second.networkDelayMs)) observe(event);
    usedSeconds += second.usedCores * world.tickSeconds;
    plans.push(ask(fromMs + tickMs, second.instanceCount, second.hasCounters));
  });
  return plans;
}

function isGrantable(
  cpuMillicores: number,
  { minMillicores, maxMillicores, stepMillicores }: World['limits'],
): boolean {
  return cpuMillicores === maxMillicores || (cpuMillicores - minMillicores) % stepMillicores === 0;
}

describe.each(SUBJECTS)('$name', ({ make }) => {
  it('makes plans that can be put in force, whatever comes: no traffic, bursts, delays beyond the SLO, odd limits', () => {
    fc.assert(
      fc.property(aWorld, (world) => {
        for (const plan of follow(make(), world)) {
          expect(plan.kind).toBe('feasible');
          expect(Number.isInteger(plan.cpuMillicores)).toBe(true);
          expect(plan.cpuMillicores).toBeGreaterThanOrEqual(world.limits.minMillicores);
          expect(plan.cpuMillicores).toBeLessThanOrEqual(world.limits.maxMillicores);
          expect(isGrantable(plan.cpuMillicores, world.limits)).toBe(true);
          expect(Number.isInteger(plan.batchSize)).toBe(true);
          expect(plan.batchSize).toBeGreaterThanOrEqual(1);
          expect(plan.batchSize).toBeLessThanOrEqual(world.maxBatchSize);
          expect(Number.isInteger(plan.instances)).toBe(true);
          expect(plan.instances).toBeGreaterThanOrEqual(1);
          expect(plan.instances).toBeLessThanOrEqual(16);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('does the same again when the same happens again, and knows nothing of another one', () => {
    fc.assert(
      fc.property(aWorld, aWorld, (world, other) => {
        const plans = follow(make(), world);
        follow(make(), other);
        expect(follow(make(), world)).toEqual(plans);
      }),
      { numRuns: 50 },
    );
  });

  it('takes every kind of event', () => {
    const { planner, observe } = make();
    const events: readonly Event[] = [
      arrival(0),
      batchStarted({ atMs: 1 }),
      finished(2, infeasible()),
      batchEnded({ atMs: 3 }),
      { kind: 'instances-changed', atMs: 4, instances: 2 },
      { kind: 'worker-lost', atMs: 5, message: 'gone', restartEstimateMs: 100 },
    ];
    for (const event of events) observe(event);
    expect(planner.plan(plannerView({ nowMs: 1000 })).plan.instances).toBeGreaterThanOrEqual(1);
  });
});

describe.each(SUBJECTS.filter(({ claimsMs }) => claimsMs !== null))(
  '$name, which claims to keep up',
  ({ make, claimsMs }) => {
    it('does so with a steady load, by the latency that it plans with and within the SLO', () => {
      const { planner, observe } = make();
      let plan: Plan = plannerView().current;
      let instanceCount = 1;
      for (let second = 0; second < 30; second++) {
        for (const event of arrivals(1000 * second, 20, 50)) observe(event);
        const snapshot = { ...plannerView().snapshot, instanceCount };
        plan = planner.plan(plannerView({ nowMs: 1000 * (second + 1), current: plan, snapshot })).plan;
        // Also while instances are starting, if it knows of them: what is ready keeps up.
        const working = planner.name === 'themis' ? Math.min(instanceCount, plan.instances) : plan.instances;
        const latencyMs = claimsMs!(plan.batchSize, plan.cpuMillicores);
        expect((1000 * working * plan.batchSize) / latencyMs).toBeGreaterThanOrEqual(20);
        expect(latencyMs).toBeLessThanOrEqual(950);
        if (second % 4 === 3) instanceCount = plan.instances;
      }
    });
  },
);

describe('the static planner', () => {
  it('has its one plan, whatever the view', () => {
    const planner = staticPlanner(8000, 4);
    expect(planner.plan(plannerView()).plan).toEqual(planner.plan(plannerView({ nowMs: 1e9 })).plan);
    expect(planner.plan(plannerView())).toMatchObject({
      plan: { kind: 'feasible', instances: 1, cpuMillicores: 8000, batchSize: 4 },
      unsalvageable: [],
    });
  });
});
