import type { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import { jointPlanner } from '../../src/scheduler/controlplane/joint-planner.js';
import { edfPolicy } from '../../src/scheduler/dataplane/policy.js';
import { exactLatency } from '../../src/scheduler/domain/latency.js';
import { nodeStartMillicores, type NodeModel } from '../../src/scheduler/node.js';
import { SimulatedScaler } from '../../src/simulator/sim/simulated-scaler.js';
import { SimulatedWorker } from '../../src/simulator/sim/simulated-worker.js';
import { modelsOf } from './fixed-latency.js';

/* Models of a node whose arithmetic is done in one's head, each with a simulated worker of its own. */

const RESTING_MILLICORES = 100;

export interface BenchModel {
  readonly name: string;
  readonly instances: number;
  /** l(b, c) = this · b / c + 1 ms, c in cores. */
  readonly msEach: number;
  /** 4 by default; with 1 nobody is waited for. */
  readonly maxBatchSize?: number;
  readonly floorFraction?: number;
}

export interface BenchFaults {
  readonly delayMs: () => number;
  readonly isRefused: () => boolean;
  /** What an actuator makes of what it is asked for; just that by default. */
  readonly bringsAbout?: (cpuMillicores: number) => number;
  readonly noise: () => number;
}

const NO_FAULTS: BenchFaults = { delayMs: () => 0, isRefused: () => false, noise: () => 1 };

export interface BenchPart {
  readonly model: Omit<NodeModel, 'onEvent'>;
  readonly workers: SimulatedWorker;
  /** In force at the start, by instance. */
  readonly startMillicores: readonly number[];
}

export function benchParts(
  clock: VirtualClock,
  budgetMillicores: number,
  models: readonly BenchModel[],
  faults = NO_FAULTS,
): readonly BenchPart[] {
  const limits = { minMillicores: 500, maxMillicores: budgetMillicores, stepMillicores: 100 };
  const start = nodeStartMillicores(
    models.map(({ instances }) => ({ count: instances, restingMillicores: RESTING_MILLICORES, limits })),
    budgetMillicores,
  );
  return models.map(({ name, msEach, maxBatchSize = 4, floorFraction }, index) => {
    const latencyMs = (batchSize: number, cpuMillicores: number): number =>
      1 + (msEach * batchSize * 1000) / cpuMillicores;
    const workers = new SimulatedWorker({
      clock,
      threadCounts: Array.from({ length: Math.ceil(budgetMillicores / 1000) }, (_, thread) => thread + 1),
      maxBatchSize,
      cpuMillicores: 0,
      latencyMs,
      noise: faults.noise,
      stagingMs: 0,
      restartMs: 100,
      ownMillicores: start[index]!,
    });
    const scalers = start[index]!.map(
      (cpuMillicores, instance) =>
        new SimulatedScaler({
          clock,
          limits: { ...limits, minMillicores: RESTING_MILLICORES },
          cpuMillicores,
          delayMs: faults.delayMs,
          expectedDelayMs: 0,
          isRefused: faults.isRefused,
          ...(faults.bringsAbout && { bringsAbout: faults.bringsAbout }),
          apply: (millicores) => workers.setAllocation(millicores, instance),
        }),
    );
    const model: BenchPart['model'] = {
      name,
      workers,
      scalers,
      policy: { name: 'sponge', dispatch: edfPolicy, planner: jointPlanner(), isAllocationFixed: false },
      models: modelsOf(exactLatency(latencyMs)),
      config: {
        queueLimits: { maxRequests: 1000, maxBytes: 1_000_000 },
        maxBatchBytes: 1_000_000,
        limits,
        idleMillicores: RESTING_MILLICORES,
        idleReleaseMs: 100,
      },
      startMillicores: start[index]!,
      floorFraction,
    };
    return { model, workers, startMillicores: start[index]! };
  });
}
