import { describe, expect, it } from 'vitest';
import { exactLatency } from '../domain/latency.js';
import { whatIfNode, type ModelQuestion, type NodeAnswer } from './what-if-node.js';

/** As in what-if-instances.test.ts: a core does 10/s, two 16.7/s, three 21.4/s, four 25/s. */
function model(arrivalRatePerSec: number, maxMillicores: number, instances: number | null = 1): ModelQuestion {
  return {
    model: exactLatency((batchSize, cpuMillicores) => batchSize * (80_000 / cpuMillicores + 20)),
    arrivalRatePerSec,
    sloMs: 1000,
    networkDelayMs: 0,
    limits: { minMillicores: 1000, maxMillicores, stepMillicores: 1000 },
    maxBatchSize: 1,
    instances,
  };
}

function node(budgetMillicores: number, rates: readonly number[], instances: number | null = 1): NodeAnswer {
  return whatIfNode({ budgetMillicores, models: rates.map((rate) => model(rate, budgetMillicores, instances)) });
}

describe('whatIfNode', () => {
  it('fits models apart where all of them at once have what they need', () => {
    const answer = node(4000, [10, 10]);
    expect(answer).toMatchObject({ fits: 'apart', togetherMillicores: 2000 });
    expect(answer.leastMeanMillicores).toBeCloseTo(2000, 6);
    // Two cores each do 16.7/s, on average and at once.
    expect(answer.fullAtLoad).toBeCloseTo(16.667 / 10, 3);
    expect(answer.apartAtLoad).toBeCloseTo(16.667 / 10, 1);
  });

  it('carries more with more instances: four of one core do 40/s', () => {
    const answer = node(4000, [10, 10], 2);
    expect(answer.fullAtLoad).toBeCloseTo(2, 6);
    expect(answer.apartAtLoad).toBeCloseTo(2, 1);
  });

  it('fits them shared where they need more at once than on average', () => {
    // 13/s need two cores, and hold 1 + 3/6.67 = 1.45 on average.
    const answer = node(3000, [13, 13]);
    expect(answer).toMatchObject({ fits: 'shared', togetherMillicores: 4000 });
    expect(answer.leastMeanMillicores).toBeCloseTo(2900, 6);
    // 1.5 cores each: 13.33/s. Apart a core each: 10/s.
    expect(answer.fullAtLoad).toBeCloseTo(13.333 / 13, 3);
    expect(answer.apartAtLoad).toBeGreaterThan(0.75);
    expect(answer.apartAtLoad).toBeLessThanOrEqual(10 / 13);
  });

  it('does not fit what is too much on average, nor a model that all cores cannot serve', () => {
    // 15/s hold 1.75 cores each.
    expect(node(3000, [15, 15])).toMatchObject({ fits: 'no', togetherMillicores: 4000 });
    const answer = node(3000, [30, 1]);
    expect(answer).toMatchObject({ fits: 'no', togetherMillicores: null, leastMeanMillicores: null });
    expect(answer.models[0]).toMatchObject({ feasible: false, reason: 'queue_overload' });
    expect(answer.fullAtLoad).toBeLessThan(1);
  });

  it('gives each model as many instances as are worth it', () => {
    // A core does 9/s; 20/s are done with 2 cores by two, and with 2.7 by one.
    expect(node(4000, [9, 20], null).models.map(({ instances }) => instances)).toEqual([1, 2]);
  });

  it('never carries less on more cores, nor more apart than shared', () => {
    let before = 0;
    for (let cores = 2; cores <= 8; cores++) {
      const { fullAtLoad, apartAtLoad } = node(1000 * cores, [5, 12]);
      expect(apartAtLoad).toBeLessThanOrEqual(fullAtLoad);
      expect(fullAtLoad).toBeGreaterThanOrEqual(before);
      before = fullAtLoad;
    }
  });
});
