import type { Plan } from '../domain/plan.js';
import type { QueueSnapshot } from '../domain/queue-snapshot.js';

/** What the controller needs of the data plane. */
export interface ControlledPlane {
  /** Threads of the batch that is running now, 0 when none is. */
  readonly runningThreads: number;
  /** Nothing is queued and nothing runs. */
  readonly isIdle: boolean;
  /** A request is to run next, alone, that only the largest allocation may be enough for. */
  readonly isExploring: boolean;
  snapshot(): QueueSnapshot;
  setPlan(plan: Plan, isResizePending: boolean): void;
  setAllocation(cpuMillicores: number, isResizePending: boolean): void;
  giveUp(sequences: readonly number[]): void;
}
