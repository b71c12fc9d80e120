/*
 * Random machines and windows for the clairvoyant bounds, and the same as `src/simulator/clairvoyant` takes them.
 */
import fc from 'fast-check';
import type { WindowedWork } from '../../src/simulator/clairvoyant/fluid-bound.js';
import type { PowerCurveOptions } from '../../src/scheduler/perf-model/power-curve.js';
import type { OperatingPoint, WindowedJob } from './yds.js';

/** Allocations and latencies of any shape: larger batches and more cores need not help. */
export const machines: fc.Arbitrary<PowerCurveOptions> = fc
  .record({
    table: fc.array(fc.array(fc.integer({ min: 3, max: 90 }), { minLength: 3, maxLength: 3 }), {
      minLength: 1,
      maxLength: 5,
    }),
    stepMillicores: fc.integer({ min: 100, max: 900 }),
    idleMillicores: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ table, stepMillicores, idleMillicores }) => ({
    latencyMs: (batchSize, cpuMillicores) => table[cpuMillicores / stepMillicores - 1]![batchSize - 1]!,
    maxBatchSize: 3,
    allocations: table.map((_, step) => (step + 1) * stepMillicores),
    idleMillicores,
  }));

/** (0, idle) and every (b / l(b, c), c). */
export function operatingPoints({
  latencyMs,
  maxBatchSize,
  allocations,
  idleMillicores,
}: PowerCurveOptions): OperatingPoint[] {
  const points: OperatingPoint[] = [[0, idleMillicores / 1000]];
  for (const cpuMillicores of allocations) {
    for (let batchSize = 1; batchSize <= maxBatchSize; batchSize++) {
      points.push([batchSize / latencyMs(batchSize, cpuMillicores), cpuMillicores / 1000]);
    }
  }
  return points;
}

/** Windows of which a later arrival may be due before, at or after an earlier one. */
export function jobs(maxCount: number, spanMs: number): fc.Arbitrary<WindowedJob[]> {
  const job = fc.record({
    releaseAtMs: fc.integer({ min: 0, max: spanMs }),
    windowMs: fc.integer({ min: 1, max: 120 }),
    work: fc.constantFrom(1, 1, 1, 0.8, 1.3),
  });
  return fc
    .record({ raw: fc.array(job, { maxLength: maxCount }), divisor: fc.constantFrom(1, 7) })
    .map(({ raw, divisor }) =>
      raw.map(({ releaseAtMs, windowMs, work }) => ({
        releaseAtMs: releaseAtMs / divisor,
        dueAtMs: (releaseAtMs + windowMs) / divisor,
        work: work / divisor,
      })),
    );
}

export function columnsOf(list: readonly WindowedJob[]): WindowedWork {
  return {
    releaseAtMs: Float64Array.from(list, ({ releaseAtMs }) => releaseAtMs),
    dueAtMs: Float64Array.from(list, ({ dueAtMs }) => dueAtMs),
    work: Float64Array.from(list, ({ work }) => work),
  };
}
