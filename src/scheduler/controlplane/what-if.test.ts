import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactLatency, type LatencyModel } from '../domain/latency.js';
import { fittedLatencyMs, type LatencyCoefficients } from '../perf-model/fit.js';
import { RELEASED_FITS } from './baselines/released.js';
import { whatIf, worstServerTimeMs, type WhatIfQuestion } from './what-if.js';

function modelOf(coefficients: LatencyCoefficients): LatencyModel {
  const latencyMs = (batchSize: number, cpuMillicores: number): number =>
    fittedLatencyMs(coefficients, batchSize, cpuMillicores);
  return exactLatency(latencyMs);
}

const WHOLE_CORES = { minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 1000 };
const RESNET: WhatIfQuestion = {
  model: modelOf(RELEASED_FITS.resnet18),
  arrivalRatePerSec: 100,
  sloMs: 1000,
  networkDelayMs: 50,
  limits: WHOLE_CORES,
  maxBatchSize: 16,
};

describe('whatIf', () => {
  it('gives ResNet18 at 100/s, 50 ms away, SLO 1000: 4 cores, batches of 14', () => {
    const answer = whatIf(RESNET);
    expect(answer).toMatchObject({ feasible: true, cpuMillicores: 4000, batchSize: 14 });
    // l = 18.29·14/4 + 45.47/4 + 4.488·14 + 1.05 = 64.0 + 11.4 + 62.8 + 1.0; h = 14/0.1393 s. With 13: 99.8/s < 100.
    expect(answer.predictedLatencyMs).toBeCloseTo(139.26, 2);
    expect(answer.throughputPerSec).toBeCloseTo(100.53, 2);
    // 13/100 s + 2 · 139.3 = 408.5, and 50 in the network: the rate binds, not the SLO.
    expect(worstServerTimeMs(14, answer.predictedLatencyMs, 100)).toBeCloseTo(408.52, 2);
  });

  it('uses a finer step where the allocation has one', () => {
    const answer = whatIf({ ...RESNET, limits: { ...WHOLE_CORES, stepMillicores: 100 } });
    // On 3.9 cores b = 16 has l = 75.0 + 11.7 + 71.8 + 1.0 = 159.5 ms, 100.3/s; on 3.8 only 98.6/s.
    expect(answer).toMatchObject({ feasible: true, cpuMillicores: 3900, batchSize: 16 });
  });

  it('says that the machine is too small for the rate', () => {
    // At 16 cores: l(16) = 18.3 + 2.8 + 71.8 + 1.0 = 94.0 ms, 170/s.
    const answer = whatIf({ ...RESNET, arrivalRatePerSec: 200 });
    expect(answer).toMatchObject({
      feasible: false,
      reason: 'queue_overload',
      cpuMillicores: 16_000,
      batchSize: 16,
    });
    expect(answer.throughputPerSec).toBeCloseTo(170.2, 0);
  });

  it('says that the network took the budget, where the server alone would have met the SLO', () => {
    expect(whatIf({ ...RESNET, networkDelayMs: 999 })).toMatchObject({
      feasible: false,
      reason: 'budget_spent_in_network',
    });
  });

  it('says that the SLO is below what the largest allocation can do', () => {
    // 2 · l(1, 16) = 2 · (1.1 + 2.8 + 4.5 + 1.0) = 19 ms.
    expect(whatIf({ ...RESNET, sloMs: 18, networkDelayMs: 0, arrivalRatePerSec: 1 })).toMatchObject({
      feasible: false,
      reason: 'infeasible_at_max_cores',
    });
  });

  it('finds the first of all (c, b) that hold both conditions, and asks no less of a harder question', () => {
    const coefficient = fc.double({ min: 0.1, max: 60, noNaN: true });
    fc.assert(
      fc.property(
        fc.record({ gamma: coefficient, epsilon: coefficient, delta: coefficient, eta: coefficient }),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 50, max: 2000 }),
        fc.integer({ min: 0, max: 500 }),
        (coefficients, arrivalRatePerSec, sloMs, networkDelayMs) => {
          const question = { ...RESNET, model: modelOf(coefficients), arrivalRatePerSec, sloMs, networkDelayMs };
          const holds = (batchSize: number, cores: number): boolean => {
            const latencyMs = fittedLatencyMs(coefficients, batchSize, cores * 1000);
            const throughputPerSec = (batchSize * 1000) / latencyMs;
            const fillMs = ((batchSize - 1) * 1000) / arrivalRatePerSec;
            return throughputPerSec >= arrivalRatePerSec && fillMs + 2 * latencyMs + networkDelayMs <= sloMs;
          };
          const all = Array.from({ length: 16 * 16 }, (_, i) => ({ cores: 1 + (i >> 4), batchSize: 1 + (i & 15) }));
          const first = all.find(({ cores, batchSize }) => holds(batchSize, cores));
          const answer = whatIf(question);
          expect(answer.feasible).toBe(first !== undefined);
          if (first !== undefined) {
            expect(answer).toMatchObject({ cpuMillicores: first.cores * 1000, batchSize: first.batchSize });
          }

          const millicores = ({ feasible, cpuMillicores }: typeof answer): number =>
            feasible ? cpuMillicores : Infinity;
          const slower = whatIf({ ...question, networkDelayMs: networkDelayMs + 20 });
          expect(millicores(slower)).toBeGreaterThanOrEqual(millicores(answer));
        },
      ),
      { numRuns: 500, seed: 1 },
    );
  });
});
