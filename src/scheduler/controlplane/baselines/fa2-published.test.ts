import { describe, expect, it } from 'vitest';
import { reasonText } from '../../domain/plan-bound.js';
import { arrivals, plannerView } from '../../../../test/fixtures/planner-views.js';
import type { FeasiblePlan } from '../../domain/plan.js';
import type { PlannerView } from '../planner.js';
import { fa2PublishedPlanner, type Fa2PublishedConfig } from './fa2-published.js';

/** A controller, one second at a time; at one core a batch of b takes 40 + 60·b ms. */
class Loop {
  readonly #controller;
  #second = 0;

  constructor(sloMs = 1000, config: Partial<Fa2PublishedConfig> = {}) {
    this.#controller = fa2PublishedPlanner({ sloMs, ...config });
  }

  /** `count` requests, and the plan at the end of that second. */
  next(count: number, networkDelayMs = 0, fields: Partial<PlannerView> = {}): FeasiblePlan {
    for (const event of arrivals(1000 * this.#second, count, networkDelayMs)) this.#controller.observe(event);
    this.#second += 1;
    const { plan } = this.#controller.planner.plan(plannerView({ nowMs: 1000 * this.#second, ...fields }));
    return plan as FeasiblePlan;
  }
}

describe('FA2 as published, for one model', () => {
  it('takes the fewest instances of one core that keep up, then the least batch size', () => {
    // 20/s: b = 1 needs 20·100/1000 = 2; larger ones need 20·160/2000 = 1.6, 1.47, 1.4 … and so 2 as well.
    expect(new Loop().next(20)).toMatchObject({ kind: 'feasible', instances: 2, cpuMillicores: 1000, batchSize: 1 });
    // 40/s: b = 1 needs 4; b = 2 3.2, b = 3 2.93.
    expect(new Loop().next(40)).toMatchObject({ instances: 3, batchSize: 3 });
  });

  it('lets a batch form and run within the SLO less the largest network delay', () => {
    // b = 3 at 40/s: 2/40 s of forming + 220 ms = 270 ms; b = 2: 25 + 160 = 185 ms.
    expect(new Loop(270).next(40)).toMatchObject({ instances: 3, batchSize: 3 });
    expect(new Loop(269).next(40)).toMatchObject({ instances: 4, batchSize: 1 });
    expect(new Loop(1000).next(40, 731)).toMatchObject({ instances: 4, batchSize: 1 });
  });

  it('plans for the busiest of the last five seconds', () => {
    const loop = new Loop();
    loop.next(20);
    // 60/s: 60·(40 + 60·b) ≤ 1000·n·b; n = 4 with b = 6 only, exactly.
    expect(loop.next(60)).toMatchObject({ instances: 4, batchSize: 6 });
    expect([1, 2, 3, 4].map(() => loop.next(20).batchSize)).toEqual([6, 6, 6, 6]);
    expect(loop.next(20)).toMatchObject({ instances: 4, batchSize: 1 });
  });

  it('grows at once, and shrinks after ten seconds in which fewer would have done', () => {
    const loop = new Loop();
    expect(loop.next(60).instances).toBe(4);
    // The busy second counts for four more; from the fifth decision on two would do; ten seconds later, two.
    const later = Array.from({ length: 16 }, () => loop.next(20).instances);
    expect(later).toEqual([...Array.from({ length: 14 }, () => 4), 2, 2]);
  });

  it('does with smaller batches while there are instances to spare', () => {
    const loop = new Loop();
    expect(loop.next(40)).toMatchObject({ instances: 3, batchSize: 3 });
    for (let second = 0; second < 5; second++) loop.next(20);
    expect(loop.next(20)).toMatchObject({ instances: 3, batchSize: 1 });
  });

  it('says that one core is too slow, and runs batches of one on as many as keep up', () => {
    const plan = new Loop(90).next(30);
    // 30·100/1000 = 3, though 100 ms > 90 ms.
    expect(plan).toMatchObject({ instances: 3, batchSize: 1 });
    expect(reasonText(plan)).toBe('30/s within 90 ms, more than one core can do');
  });

  it('has instances of another unit where it is told one', () => {
    // Half a core takes twice as long. 20/s: b = 1 needs 20·200/1000 = 4, b = 2 3.2, b = 3 20·440/3000 = 2.93.
    const half = { minMillicores: 500, maxMillicores: 500, stepMillicores: 500 };
    const loop = new Loop(1000, { unitMillicores: 500 });
    expect(loop.next(20, 0, { limits: half })).toMatchObject({ instances: 3, cpuMillicores: 500, batchSize: 3 });
    const tooSlow = new Loop(190, { unitMillicores: 500 }).next(20, 0, { limits: half });
    expect(reasonText(tooSlow)).toBe('20/s within 190 ms, more than 0.5 cores can do');
  });

  it('stops at the largest number of instances', () => {
    // And takes the batch that falls behind least: 8 in 520 ms.
    expect(new Loop(1000, { maxInstances: 4 }).next(200)).toMatchObject({ instances: 4, batchSize: 8 });
    expect(new Loop().next(2000).instances).toBe(16);
  });

  it('needs one instance for nothing', () => {
    const current = { ...plannerView().current, instances: 3 };
    const loop = new Loop();
    expect(loop.next(0, 0, { current }).instances).toBe(3);
    for (let second = 0; second < 9; second++) loop.next(0);
    expect(loop.next(0)).toMatchObject({ instances: 1, batchSize: 1 });
  });
});
