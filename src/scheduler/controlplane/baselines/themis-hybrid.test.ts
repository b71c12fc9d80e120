import { describe, expect, it } from 'vitest';
import { arrivals, plannerView } from '../../../../test/fixtures/planner-views.js';
import type { Plan } from '../../domain/plan.js';
import type { PlannerView } from '../planner.js';
import { themisPlanner } from './themis-hybrid.js';

type Shape = readonly [instances: number, cores: number, batchSize: number];

function shapeOf({ instances, cpuMillicores, batchSize }: Plan): Shape {
  return [instances, cpuMillicores / 1000, batchSize];
}

/** The controller, one second at a time; a batch of b takes (40 + 60·b) / cores ms. */
class Loop {
  readonly #controller;
  #second = 0;
  ready = 1;

  constructor(sloMs = 1000, maxInstances = 16) {
    this.#controller = themisPlanner({ sloMs, maxInstances });
  }

  /** `count` requests, and the plan at the end of that second. */
  next(count: number, networkDelayMs = 0, fields: Partial<PlannerView> = {}): Shape {
    for (const event of arrivals(1000 * this.#second, count, networkDelayMs)) this.#controller.observe(event);
    this.#second += 1;
    const view = plannerView({
      nowMs: 1000 * this.#second,
      snapshot: { ...SNAPSHOT, instanceCount: this.ready },
      ...fields,
    });
    return shapeOf(this.#controller.planner.plan(view).plan);
  }
}

const SNAPSHOT = plannerView().snapshot;

describe('the hybrid of growing in place and adding instances', () => {
  it('needs one instance of one core for little', () => {
    expect(new Loop().next(5)).toEqual([1, 1, 1]);
    expect(new Loop().next(0)).toEqual([1, 1, 1]);
  });

  it('plans for one while none is ready yet', () => {
    const loop = new Loop();
    loop.ready = 0;
    expect(loop.next(5)).toEqual([1, 1, 1]);
    expect(loop.next(40)).toEqual([3, 3, 3]);
  });

  it('grows what is ready at once while new instances start, shrinks as they become ready, and ends on one core each', () => {
    const loop = new Loop();
    // 40/s in the steady state: 40·(40 + 60·b) ≤ 1000·n·b, n = 3 with b = 3. On one instance 40·(40 + 60·b)/c ≤ 1000·b:
    // never with 2 cores (800 ≤ −200·b), with 3 from b = 3 on (533 ≤ 200·b).
    expect(loop.next(40)).toEqual([3, 3, 3]);
    expect(loop.next(40)).toEqual([3, 3, 3]);
    loop.ready = 2;
    // On two: never with one core each (1600 ≤ −400·b), with two b = 1 does (800 ≤ 800).
    expect(loop.next(40)).toEqual([3, 2, 1]);
    loop.ready = 3;
    expect(loop.next(40)).toEqual([3, 1, 3]);
  });

  it('grows for a tight budget, too', () => {
    const loop = new Loop();
    expect(loop.next(5)).toEqual([1, 1, 1]);
    // 90 ms are left: 100 ms at one core, 50 ms at two, where one instance keeps up.
    expect(loop.next(5, 910)).toEqual([1, 2, 1]);
    // The delay counts for five seconds.
    for (let second = 0; second < 4; second++) expect(loop.next(5)).toEqual([1, 2, 1]);
    expect(loop.next(5)).toEqual([1, 1, 1]);
  });

  it('gives instances up after ten seconds in which fewer would have done, and runs them on one core meanwhile', () => {
    const loop = new Loop();
    loop.next(40);
    loop.ready = 3;
    const later = Array.from({ length: 16 }, () => loop.next(20));
    expect(later.slice(0, 4)).toEqual([1, 2, 3, 4].map(() => [3, 1, 3]));
    expect(later.slice(4, 14)).toEqual(Array.from({ length: 10 }, () => [3, 1, 1]));
    expect(later.slice(14)).toEqual([
      [2, 1, 1],
      [2, 1, 1],
    ]);
  });

  it('grows instances when there may be no more of them', () => {
    const loop = new Loop(1000, 2);
    loop.ready = 2;
    expect(loop.next(40)).toEqual([2, 2, 1]);
  });

  it('takes all there is where nothing suffices, with the batch that falls behind least', () => {
    const limits = { minMillicores: 1000, maxMillicores: 2000, stepMillicores: 1000 };
    // 8 in 260 ms at two cores: 31/s, and 200 come.
    expect(new Loop(1000, 1).next(200, 0, { limits })).toEqual([1, 2, 8]);
    // 50 ms at best, and 10 are allowed.
    expect(new Loop(10, 1).next(50, 0, { limits })).toEqual([1, 2, 1]);
  });

  it('keeps all instances together within the machine, those that start on the least', () => {
    const limits = { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 1000 };
    const loop = new Loop();
    // 3 cores would do for the one that is ready, but two others hold one each.
    expect(loop.next(40, 0, { limits })).toEqual([3, 2, 8]);
    loop.ready = 2;
    // (4 − 1) / 2 = 1.5 cores each: one.
    expect(loop.next(40, 0, { limits })).toEqual([3, 1, 8]);
    loop.ready = 3;
    expect(loop.next(40, 0, { limits })).toEqual([3, 1, 3]);
  });

  it('plans anew when instances become ready that would not fit on what the others have', () => {
    const { planner } = themisPlanner({ sloMs: 1000 });
    const limits = { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 1000 };
    const current = { ...plannerView().current, instances: 3, cpuMillicores: 2000 };
    const holdsFor = (instanceCount: number): boolean =>
      planner.isStillValid(plannerView({ limits, current, snapshot: { ...SNAPSHOT, instanceCount } }));
    expect([1, 2, 3].map(holdsFor)).toEqual([true, true, false]);
  });
});
