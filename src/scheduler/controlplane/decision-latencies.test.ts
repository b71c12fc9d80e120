import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactLatency, type LatencyModel } from '../domain/latency.js';
import { AllocationLatencies, CautiousLatencies, DecisionLatencies, KnownLatencies } from './decision-latencies.js';

/** 10 ms a request; counts how often it is asked. */
function countingModel(): { readonly model: LatencyModel; asked: number } {
  const counting = {
    asked: 0,
    model: {
      predictedLatencyMs: (batchSize: number): number => {
        counting.asked += 1;
        return 10 * batchSize;
      },
      plannedLatencyMs: (batchSize: number): number => 12 * batchSize,
      leastLatencyMs: (batchSize: number): number => 12 * batchSize,
    },
  };
  return counting;
}

describe('latencies that decisions look at', () => {
  it('say what a request takes at the least in batches of up to so many', () => {
    // 20, 26 and 45 ms: 20, 13 and 15 a request.
    const model = { predictedLatencyMs: (size: number) => [0, 20, 26, 45][size]! } as unknown as LatencyModel;
    const [latencies] = new DecisionLatencies({ models: [model], maxBatchSize: 3 }).on(1000);
    expect([1, 2, 3, 9].map((size) => latencies!.leastMsEach(size))).toEqual([20, 13, 13, 13]);
  });

  it('are asked of a model once, also by several decisions, until it changes', () => {
    const counting = countingModel();
    const known = new KnownLatencies();
    const ask = (revision: number | undefined): number => {
      known.standAt(revision);
      const latencies = new DecisionLatencies({ models: [counting.model], maxBatchSize: 4 }, known.of);
      return latencies.on(1000)[0]!.predictedMs(4);
    };
    expect([ask(1), ask(1), counting.asked]).toEqual([40, 40, 1]);
    expect([ask(2), counting.asked]).toEqual([40, 2]);
    // Who does not tell when it changes is asked every time.
    expect([ask(undefined), ask(undefined), counting.asked]).toEqual([40, 40, 4]);
  });

  it('are those of the batches that are possible now', () => {
    const known = new KnownLatencies();
    known.standAt(1);
    const { model } = countingModel();
    const bestOf = (maxBatchSize: number): number =>
      new DecisionLatencies({ models: [model], maxBatchSize }, known.of).on(1000)[0]!.limit;
    expect([bestOf(8), bestOf(4), bestOf(8)]).toEqual([8, 4, 8]);
  });

  it('say how many fit into a time', () => {
    const anyLatencies = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(anyLatencies, fc.integer({ min: -5, max: 70 }), (drawn, leftMs) => {
        const latencyMs = [0, ...drawn.toSorted((a, b) => a - b)];
        const predictedLatencyMs = (size: number): number => latencyMs[size]!;
        const model = exactLatency(predictedLatencyMs);
        const latencies = new AllocationLatencies(model, 1000, drawn.length);
        const cautious = new CautiousLatencies(latencies, 1);
        for (let limit = 1; limit <= drawn.length; limit++) {
          const sizes = Array.from({ length: limit }, (_, index) => limit - index);
          expect(cautious.mostWithin(leftMs, limit)).toBe(sizes.find((size) => latencyMs[size]! <= leftMs) ?? 0);
        }
      }),
    );
  });
});
