import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import { mostOnTime } from '../../src/simulator/pods/central-bound.js';
import { ListedPod } from '../../src/simulator/pods/listed-pod.js';
import { typicalMs, type PodMachine } from '../../src/simulator/pods/pod-machine.js';

/* The bound on what one queue over all pods can do, against every schedule there is of a few requests. */

/** 30 ms for one, 20 more for each further one, up to three. */
const MACHINE: PodMachine = {
  coefficients: { gamma: 0, epsilon: 0, delta: 20, eta: 10 },
  maxBatchSize: 3,
  logDeviation: 0,
};
const MILLICORES = 1000;

interface Asked {
  readonly atMs: number;
  readonly budgetMs: number;
}

/** Every batch of those that are left, on every pod, after every batch before: the most that can be in time. */
function exhaustive(asked: readonly Asked[], podCount: number): number {
  const search = (left: readonly number[], freeAtMs: readonly number[]): number => {
    let best = 0;
    for (let subset = 1; subset < 1 << left.length; subset++) {
      const members = left.filter((_, place) => (subset & (1 << place)) !== 0);
      if (members.length > MACHINE.maxBatchSize) continue;
      for (let pod = 0; pod < podCount; pod++) {
        // Of pods that are free at the same time one will do.
        if (freeAtMs.indexOf(freeAtMs[pod]!) !== pod) continue;
        const startAtMs = Math.max(freeAtMs[pod]!, ...members.map((each) => asked[each]!.atMs));
        const endAtMs = startAtMs + typicalMs(MACHINE, members.length, MILLICORES);
        // A batch with one that is late is another batch without it.
        if (members.some((each) => endAtMs > asked[each]!.atMs + asked[each]!.budgetMs)) continue;
        const after = freeAtMs.map((free, index) => (index === pod ? endAtMs : free));
        best = Math.max(
          best,
          members.length +
            search(
              left.filter((each) => !members.includes(each)),
              after,
            ),
        );
      }
    }
    return best;
  };
  return search(
    asked.map((_, index) => index),
    new Array<number>(podCount).fill(0),
  );
}

function boundOf(asked: readonly Asked[], podCount: number): number {
  const sorted = [...asked].sort((a, b) => a.atMs - b.atMs);
  const budgetsMs = [...new Set(sorted.map(({ budgetMs }) => budgetMs))];
  return mostOnTime({
    machine: MACHINE,
    millicores: new Array<number>(podCount).fill(MILLICORES),
    workload: {
      durationMs: 1000,
      sentAtMs: Float64Array.from(sorted, ({ atMs }) => atMs),
      budgetsMs,
      budgetIndexes: Uint8Array.from(sorted, ({ budgetMs }) => budgetsMs.indexOf(budgetMs)),
    },
    wayMs: 0,
    leastFactor: 1,
  });
}

/** One queue over so many instances, as it is simulated. */
function simulated(asked: readonly Asked[], podCount: number): number {
  const clock = new VirtualClock();
  const pod = new ListedPod({
    clock,
    machine: MACHINE,
    cpuMillicores: MILLICORES,
    factor: () => 1,
    instanceCount: podCount,
  });
  let onTime = 0;
  for (const [sequence, { atMs, budgetMs }] of asked.entries())
    clock.scheduleExact(atMs, () =>
      pod.submit({ sequence, dueAtMs: atMs + budgetMs }, (answer) => {
        if (answer === 'completed' && clock.nowMs() <= atMs + budgetMs + 1e-9) onTime += 1;
      }),
    );
  clock.runUntilIdle();
  return onTime;
}

const ASKED = fc.array(
  fc.record({ atMs: fc.integer({ min: 0, max: 90 }), budgetMs: fc.integer({ min: 20, max: 160 }) }),
  {
    minLength: 1,
    maxLength: 5,
  },
);

describe('the bound on one queue over all pods', () => {
  it('is never below the best of all schedules, which is never below what one queue does', () => {
    fc.assert(
      fc.property(ASKED, fc.integer({ min: 1, max: 2 }), (asked, podCount) => {
        const best = exhaustive(asked, podCount);
        expect(boundOf(asked, podCount)).toBeGreaterThanOrEqual(best);
        expect(simulated(asked, podCount)).toBeLessThanOrEqual(best);
      }),
      { numRuns: 400 },
    );
  });

  it('is reached where there is time, and where there is none', () => {
    const patient = Array.from({ length: 6 }, (_, index) => ({ atMs: index, budgetMs: 500 }));
    expect([boundOf(patient, 2), exhaustive(patient.slice(0, 5), 2)]).toEqual([6, 5]);
    const hopeless = [{ atMs: 0, budgetMs: 29 }];
    expect([boundOf(hopeless, 2), exhaustive(hopeless, 2)]).toEqual([0, 0]);
  });
});
