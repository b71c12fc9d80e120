import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import type { LatencyModels } from '../../scheduler/perf-model/model-source.js';
import type { Policy } from '../../scheduler/system.js';
import type { AllocationReport } from './allocation-ledger.js';
import type { Machine } from './machine.js';
import type { OutcomeReport } from './outcome-ledger.js';
import type { MachineState } from './service-noise.js';
import type { Replicas } from './simulated-worker.js';
import type { Range } from '../workloads/workload.js';

export interface SimulatedEnvelope {
  /** Each allocation has a quota inside it that is resized at once. */
  readonly hasInner: boolean;
  readonly holdMs: number;
  readonly perSec: number;
  readonly burst: number;
}

/** What is simulated around the policy. */
export interface Environment {
  readonly machine: Machine;
  readonly cpu: {
    /** Allocations on which batches may run. */
    readonly limits: AllocationLimits;
    /** Kept while idle. */
    readonly idleMillicores: number;
    /** Release CPU this long after the last work; null never. */
    readonly idleReleaseMs: number | null;
    readonly maxBatchSize: number;
    /** φ: how much busy neighbours slow a batch down (`SimulatedWorkerOptions.interference`). */
    readonly interference: number;
  };
  readonly scaler: {
    /** Request → in force, and in force → told. */
    readonly delayMs: Range;
    readonly readBackMs: Range;
    readonly refusedFraction: number;
    /** A limit that encloses all allocations, and that is what takes so long to resize; absent: each allocation is by itself. */
    readonly envelope?: SimulatedEnvelope | undefined;
  };
  readonly worker: {
    /** Received → can be started. */
    readonly stagingMs: number;
    readonly restartMs: number;
    readonly crashesAtMs: readonly number[];
    readonly state: MachineState;
  };
  /** How late the system's own timers are; live about 1 ms. */
  readonly timerLatenessMs: number;
  readonly queueLimit: number;
}

/** A policy, made anew for each run, and what it has to be run with. */
export interface SimulatedPolicy {
  readonly policy: Policy;
  readonly models: LatencyModels;
  /** Warm instances, each with an allocation of its own; 1 where absent. */
  readonly instances?: number;
  /** Where it scales horizontally: its instances, and the allocations that one of them may have. */
  readonly horizontal?: { readonly replicas: Replicas; readonly limits: AllocationLimits };
}

export interface RunReport {
  readonly outcomes: OutcomeReport;
  readonly allocation: AllocationReport;
  readonly cpuSecondsUsed: number;
  /** Until the last outcome, and at least as long as clients send. */
  readonly durationMs: number;
  readonly batches: number;
  /** Instances × time without a batch, s; 0 where instances share one allocation. */
  readonly restingSeconds: number;
  readonly meanBatchSize: number;
  /** The least allocation that was in force while a batch ran; Infinity where none did. */
  readonly leastRunningMillicores: number;
  /** Of all batches: actual over typical latency of the machine as it is described. Infinity where none ran. */
  readonly leastMultiplier: number;
  readonly eventHash: string;
}
