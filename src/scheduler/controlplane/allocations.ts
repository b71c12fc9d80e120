import type { Clock } from '../clock/clock.js';
import type { AllocationLimits, Plan } from '../domain/plan.js';
import type { ActuatorDelay } from './actuator-delay.js';
import type { ControlledPlane } from './controlled-plane.js';
import type { InstanceAllocation } from './instance-allocation.js';

/** A release is worth it when idleness has lasted for so many times what getting the CPU back takes. */
export const RELEASE_DELAYS = 10;

export interface IdleRules {
  /** Allocations on which batches may run. */
  readonly limits: AllocationLimits;
  /** Kept while idle; nothing runs on it. */
  readonly idleMillicores: number;
  /** Release CPU this long after the last work; null never. */
  readonly idleReleaseMs: number | null;
}

/** What an instance holds that rests: nothing runs on it, unless idle CPU is never released. */
export function restingMillicores({ idleReleaseMs, idleMillicores, limits }: IdleRules): number {
  return idleReleaseMs === null ? limits.minMillicores : idleMillicores;
}

/** What is to be in force now. */
export interface Wanted {
  readonly plan: Plan;
  readonly plane: ControlledPlane;
  /** Nothing was held and nothing ran since then; null while something does. */
  readonly idleSinceMs: number | null;
}

/**
 * Brings allocations to what a plan says, as soon as that is worth it. Implementations: `shared-allocation.ts`, one that all
 * instances have alike; `own-allocations.ts`, one for each.
 */
export interface Allocations {
  readonly each: readonly InstanceAllocation[];
  /** Resizes what is to be resized now; whatever has to wait comes back by `again`. */
  follow(nowMs: number, wanted: Wanted): void;
  /** Whether a batch has to wait for what is under way, by allocation. */
  isAwaited(index: number): boolean;
  /** Whether what was asked for already is enough for a plan. */
  suffices(plan: Plan, plane: ControlledPlane): boolean;
  /** No timer is left. */
  stop(): void;
}

export interface AllocationsOptions {
  readonly clock: Clock;
  readonly delay: ActuatorDelay;
  readonly rules: IdleRules;
  /** Asks for `follow`, with what is wanted then. */
  readonly again: () => void;
}
