import { describe, expect, it } from 'vitest';
import { exactLatency } from '../domain/latency.js';
import {
  savedByOneMore,
  whatIfInstances,
  whatIfUpTo,
  worthwhileInstances,
  type InstancesQuestion,
} from './what-if-instances.js';

/** l(b, c) = b·(80/c + 20) ms: a core does 10/s, two 16.7/s, three 21.4/s, four 25/s, in batches of any size. */
const QUESTION: InstancesQuestion = {
  model: exactLatency((batchSize, cpuMillicores) => batchSize * (80_000 / cpuMillicores + 20)),
  arrivalRatePerSec: 20,
  sloMs: 1000,
  networkDelayMs: 0,
  limits: { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 1000 },
  maxBatchSize: 4,
};

describe('whatIfUpTo', () => {
  const answers = whatIfUpTo(QUESTION, 64);

  it('says what each number of instances needs at once', () => {
    expect(answers.map(({ cpuMillicores, togetherMillicores }) => [cpuMillicores, togetherMillicores])).toEqual([
      // 20/s are more than the 16.7/s of two cores.
      [3000, 3000],
      // 10/s each are what a core does.
      [1000, 2000],
      [1000, 3000],
      [1000, 4000],
    ]);
    // Two batches of one, each on a core: 2 · 10/s.
    expect(answers[1]!.throughputPerSec).toBeCloseTo(20, 9);
  });

  it('stops where there is less than the least allocation for one more', () => {
    expect(answers).toHaveLength(4);
  });

  it('says what they hold at least on average: k·P̂(λ/k)', () => {
    // One: on from two cores, 2 + (20 − 16.67)/(21.43 − 16.67) = 2.7. Several: a tenth of a core for each request a second.
    const means = answers.map(({ leastMeanMillicores }) => leastMeanMillicores!);
    [2700, 2000, 2000, 2000].forEach((millicores, index) => expect(means[index]).toBeCloseTo(millicores, 6));
    expect(savedByOneMore(answers, 1)).toBeCloseTo(700, 6);
    expect(savedByOneMore(answers, 2)).toBeCloseTo(0, 6);
    expect(savedByOneMore(answers, 4)).toBeNull();
  });

  it('finds as many worth having as save more than they hold while they rest', () => {
    // 2.7 + 0.05 with one, 2 + 0.1 with two, 2 + 0.15 with three.
    expect(worthwhileInstances(answers)).toBe(2);
    // What one core does is done by one.
    expect(worthwhileInstances(whatIfUpTo({ ...QUESTION, arrivalRatePerSec: 9 }, 4))).toBe(1);
    expect(worthwhileInstances(whatIfUpTo({ ...QUESTION, arrivalRatePerSec: 100 }, 4))).toBeNull();
  });

  it('never needs more on average with more instances', () => {
    for (let arrivalRatePerSec = 1; arrivalRatePerSec <= 25; arrivalRatePerSec += 1.5) {
      const means = whatIfUpTo({ ...QUESTION, arrivalRatePerSec }, 4).map((each) => each.leastMeanMillicores!);
      expect(means.toSorted((a, b) => b - a).map((mean) => mean.toFixed(6))).toEqual(
        means.map((mean) => mean.toFixed(6)),
      );
    }
  });

  it('tells why so many cannot do it', () => {
    // Four cores do 25/s alone, and 40/s as four instances.
    const asked = { ...QUESTION, arrivalRatePerSec: 30 };
    expect(whatIfInstances(asked, 1)).toMatchObject({
      feasible: false,
      reason: 'queue_overload',
      leastMeanMillicores: null,
    });
    expect(whatIfInstances(asked, 3)).toMatchObject({ feasible: true, cpuMillicores: 1000 });
    // On a core a batch takes 100 ms, and may find one of 100 ms under way.
    expect(whatIfInstances({ ...asked, sloMs: 199 }, 4)).toMatchObject({
      feasible: false,
      reason: 'infeasible_at_max_cores',
    });
    expect(whatIfInstances({ ...asked, sloMs: 200 }, 4)).toMatchObject({ feasible: true });
  });
});
