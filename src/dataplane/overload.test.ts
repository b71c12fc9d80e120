import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TEN_MS_EACH } from '../../test/simulation/fixed-latency.js';
import { decideShedding, type OverloadView } from './overload.js';

/** Three times as long: 30 ms a request at 1000 millicores. */
const THIRTY_MS_EACH: OverloadView['models'][number] = {
  predictedLatencyMs: (b, c) => 3 * TEN_MS_EACH.predictedLatencyMs(b, c),
  plannedLatencyMs: (b, c) => 3 * TEN_MS_EACH.plannedLatencyMs(b, c),
};

function view(work: readonly (readonly [dueAtMs: number, classIndex: number])[], freeAtMs = 0): OverloadView {
  return {
    work: work.map(([dueAtMs, classIndex], index) => ({ sequence: index + 1, dueAtMs, classIndex })),
    models: [TEN_MS_EACH, THIRTY_MS_EACH],
    freeAtMs,
    maxMillicores: 1000,
    maxBatchSize: 1,
  };
}

describe('shedding', () => {
  it('gives up nothing when all can be met, and nothing of nothing', () => {
    expect(decideShedding(view([]))).toEqual([]);
    expect(decideShedding(view([[10, 0], [20, 0], [30, 0]]))).toEqual([]); // prettier-ignore
  });

  it('gives up as few as it can: three of 10 ms cannot be done by 25, two can', () => {
    expect(decideShedding(view([[25, 0], [25, 0], [25, 0]]))).toHaveLength(1); // prettier-ignore
  });

  it('counts from when the worker is free', () => {
    // Free at 10: finishes at 20 and 30.
    expect(decideShedding(view([[20, 0], [29, 0]], 10))).toHaveLength(1); // prettier-ignore
    expect(decideShedding(view([[20, 0], [30, 0]], 10))).toEqual([]); // prettier-ignore
  });

  it('gives up the request that costs most where classes are mixed, whoever came last', () => {
    // 30 + 10 = 40 > 39: without the dear one the rest ends at 10 and 20.
    expect(decideShedding(view([[35, 1], [39, 0], [45, 0]]))).toEqual([1]); // prettier-ignore
  });

  it('gives up the latest due of equally dear ones', () => {
    // 10, then 40 ≤ 50, then 70 > 60: of the two dear ones, the later.
    expect(decideShedding(view([[10, 0], [50, 1], [60, 1]]))).toEqual([3]); // prettier-ignore
  });

  it('leaves only what can be met one after another, whatever the mix', () => {
    const request = fc.tuple(fc.integer({ min: 0, max: 200 }), fc.constantFrom(0, 1));
    fc.assert(
      fc.property(fc.array(request, { maxLength: 12 }), (requests) => {
        const problem = view([...requests].sort(([a], [b]) => a - b));
        const shed = new Set(decideShedding(problem));
        let finishAtMs = 0;
        for (const { sequence, dueAtMs, classIndex } of problem.work) {
          if (shed.has(sequence)) continue;
          finishAtMs += classIndex === 0 ? 10 : 30;
          expect(finishAtMs).toBeLessThanOrEqual(dueAtMs);
        }
      }),
    );
  });
});
