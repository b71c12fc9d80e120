import type { AllocationLimits } from '../domain/plan.js';

/** What became of one resize. Refusal is a value: the controller keeps the allocation that is in force. */
export type ResizeResult =
  | {
      readonly kind: 'applied';
      /** Read back, not assumed; may differ from what was asked by the actuator's step. */
      readonly cpuMillicores: number;
      /** False where the value was in force already and nothing was written (a write refills the kernel's bucket). */
      readonly isWritten: boolean;
      /** Decision → read back. */
      readonly tookMs: number;
    }
  | { readonly kind: 'refused'; readonly message: string };

/** The kernel's own counters since the group was made; cumulative. */
export interface CpuCounters {
  readonly usedSeconds: number;
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledSeconds: number;
}

/**
 * Changes one worker's allocation in place. Implementations: `server/scalers/*`, `envelope/enveloped-scaler.ts`,
 * `simulator/sim/simulated-scaler.ts`.
 */
export interface Scaler {
  readonly kind: 'cgroup-v2' | 'cgroup-v1' | 'affinity' | 'kubernetes' | 'none' | 'simulated';
  /** False where it only recommends: the plan is published but nothing is limited. */
  readonly isActuating: boolean;
  readonly limits: AllocationLimits;
  /** What a group holds in which nothing runs: 0 where that is nothing; at most `limits.minMillicores`. */
  readonly idleMillicores: number;
  /** Decision → read back, until resizes have shown what it is. */
  readonly expectedDelayMs: number;
  /**
   * Asks for an allocation; a newer call supersedes an unfinished one. Calls back once, never inside this call.
   * @param cpuMillicores integer within `limits`, or `idleMillicores`
   */
  resize(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void;
  /** Null where the platform has no counters. */
  readCounters(): CpuCounters | null;
  /**
   * What it and all that share its machine may have together now, or after a resize; absent where that is always the largest allocation.
   * Less where others carry resizes out and say that there is no room.
   */
  readonly reachableMillicores?: number;
  /** Calls whenever something else is in force, or can be had, than whoever asked last was told: asking again for the same tells what. */
  watch?(onChanged: () => void): void;
}
