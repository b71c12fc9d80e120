/*
 * Random small planning instances with random monotone latency tables, and the same instance as `solve` takes it.
 */
import fc from 'fast-check';
import type { PlanningProblem } from '../../src/scheduler/controlplane/program.js';
import { allocationsOf, type PlanInstance } from './exhaustive-plan.js';

export interface InstanceShape {
  readonly maxQueue: number;
  readonly maxClasses: number;
  readonly maxBatchSize: number;
  readonly maxSteps: number;
  /** Divides every time: 1 gives whole milliseconds (many exact ties), 7 fractions that binary numbers cannot hold. */
  readonly divisor: number;
}

/** Any function that does not fall with the batch size nor rise with the allocation can come out. */
function monotoneTable(sizes: number, steps: number): fc.Arbitrary<number[][]> {
  const cell = fc.integer({ min: 1, max: 40 });
  return fc
    .array(fc.array(cell, { minLength: steps, maxLength: steps }), { minLength: sizes, maxLength: sizes })
    .map((raw) => {
      const table = raw.map((row) => [...row]);
      for (let b = 0; b < sizes; b++) {
        for (let c = steps - 1; c >= 0; c--) {
          table[b]![c] = Math.max(table[b]![c]!, table[b - 1]?.[c] ?? 0, table[b]![c + 1] ?? 0);
        }
      }
      return table;
    });
}

export function planInstances(shape: InstanceShape): fc.Arbitrary<PlanInstance> {
  const sizeArb = fc.record({
    steps: fc.integer({ min: 1, max: shape.maxSteps }),
    classes: fc.integer({ min: 1, max: shape.maxClasses }),
    maxBatchSize: fc.integer({ min: 1, max: shape.maxBatchSize }),
  });
  return sizeArb.chain(({ steps, classes, maxBatchSize }) =>
    fc
      .record({
        nowMs: fc.integer({ min: 0, max: 1000 }),
        minMillicores: fc.integer({ min: 100, max: 1000 }),
        stepMillicores: fc.integer({ min: 50, max: 500 }),
        // The last step may be shorter than the others.
        lastStepShare: fc.constantFrom(1, 1, 0.5, 0.02),
        tables: fc.array(monotoneTable(maxBatchSize, steps), { minLength: classes, maxLength: classes }),
        inFlight: fc.oneof(fc.constant(null), monotoneTable(1, steps)),
        queue: fc.array(
          fc.record({
            budgetMs: fc.integer({ min: -5, max: 160 }),
            classIndex: fc.integer({ min: 0, max: classes - 1 }),
          }),
          { maxLength: shape.maxQueue },
        ),
        arrivalRatePerSec: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 100 })),
        arrivalClassIndex: fc.integer({ min: 0, max: classes - 1 }),
      })
      .map((raw) => {
        const scaled = (ms: number): number => ms / shape.divisor;
        const lastStep = Math.max(1, Math.floor(raw.stepMillicores * raw.lastStepShare));
        const maxMillicores =
          steps === 1 ? raw.minMillicores : raw.minMillicores + (steps - 2) * raw.stepMillicores + lastStep;
        const stepOf = (cpuMillicores: number): number => {
          if (cpuMillicores === maxMillicores) return steps - 1;
          const step = (cpuMillicores - raw.minMillicores) / raw.stepMillicores;
          if (!Number.isInteger(step) || step < 0 || step >= steps) throw new Error(`${cpuMillicores} is not allowed`);
          return step;
        };
        return {
          nowMs: scaled(raw.nowMs),
          queue: raw.queue
            .map(({ budgetMs, classIndex }) => ({ dueAtMs: scaled(raw.nowMs + budgetMs), classIndex }))
            .sort((a, b) => a.dueAtMs - b.dueAtMs),
          minMillicores: raw.minMillicores,
          stepMillicores: raw.stepMillicores,
          maxMillicores,
          maxBatchSize,
          latencyMs: (classIndex, batchSize, cpu) => scaled(raw.tables[classIndex]![batchSize - 1]![stepOf(cpu)]!),
          inFlightMs: (cpu) => (raw.inFlight === null ? 0 : scaled(raw.inFlight[0]![stepOf(cpu)]!)),
          arrivalRatePerSec: raw.arrivalRatePerSec * shape.divisor,
          arrivalClassIndex: raw.arrivalClassIndex,
        } satisfies PlanInstance;
      }),
  );
}

/** Typical and planned latency differ, so that mixing them up is noticed. */
export function asProblem(instance: PlanInstance): PlanningProblem {
  const classCount = Math.max(instance.arrivalClassIndex, ...instance.queue.map((r) => r.classIndex)) + 1;
  const models = Array.from({ length: classCount }, (_, classIndex) => ({
    predictedLatencyMs: (batchSize: number, cpu: number) => instance.latencyMs(classIndex, batchSize, cpu) / 2,
    plannedLatencyMs: (batchSize: number, cpu: number) => instance.latencyMs(classIndex, batchSize, cpu),
    leastLatencyMs: (batchSize: number, cpu: number) => instance.latencyMs(classIndex, batchSize, cpu),
  }));
  return {
    nowMs: instance.nowMs,
    queue: instance.queue,
    models,
    inFlightRemainingMs: instance.inFlightMs,
    arrivalRatePerSec: instance.arrivalRatePerSec,
    arrivalModel: models[instance.arrivalClassIndex]!,
    limits: {
      minMillicores: instance.minMillicores,
      maxMillicores: instance.maxMillicores,
      stepMillicores: instance.stepMillicores,
    },
    maxBatchSize: instance.maxBatchSize,
  };
}

/** What a failing example prints. */
export function describeInstance(instance: PlanInstance): string {
  const { latencyMs, inFlightMs, ...plain } = instance;
  const allocations = allocationsOf(instance);
  const classCount = Math.max(instance.arrivalClassIndex, ...instance.queue.map((r) => r.classIndex)) + 1;
  const tables = Array.from({ length: classCount }, (_, classIndex) =>
    Array.from({ length: instance.maxBatchSize }, (_, b) =>
      allocations.map((cpu) => latencyMs(classIndex, b + 1, cpu)),
    ),
  );
  return JSON.stringify({ ...plain, inFlightMs: allocations.map(inFlightMs), latencyMs: tables });
}
